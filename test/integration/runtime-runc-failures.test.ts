import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { execProcess, noStdio, RuntimeLab } from '../support/runtime-lab.ts';

let lab: RuntimeLab;

beforeAll(async () => {
  lab = new RuntimeLab('runc');
  await lab.runtime.list();
});
afterAll(async () => {
  await lab[Symbol.asyncDispose]();
});
beforeEach(() => lab.count());
afterEach(async () => {
  try {
    await lab.assertClean();
  } finally {
    await lab.sweep();
  }
});

/** A program of ours in the place of the runtime. */
function program(name: string, script: string): string {
  const path = join(lab.directory, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe('a runtime that says too much', () => {
  it('has failed when its answer is beyond the bound', async () => {
    const runtime = lab.runtimeOf(program('endless', 'head -c 17000000 /dev/zero'));
    await expect(runtime.list()).rejects.toThrow('17000000 bytes of output, at most 16777216');
  });

  it('has the end of its errors told', async () => {
    const script = 'yes "an error" | head -n 100000 >&2; echo "the last one" >&2; exit 1';
    const runtime = lab.runtimeOf(program('noisy', script));
    await expect(runtime.list()).rejects.toThrow(/exit status 1: the last one$/);
  });
});

describe('a runtime that cannot be run', () => {
  it.each([
    'no-such-runtime',
    '/no/such/runtime',
    '/etc/passwd',
    '/tmp',
  ])('is named with the remedy: %s', async (name) => {
    const runtime = lab.runtimeOf(name);
    const failure = { name: 'RuntimeError', code: 'unavailable' };
    await expect(runtime.version()).rejects.toMatchObject(failure);
    await expect(runtime.list()).rejects.toThrow(/-runtime$/);
    const bundle = lab.bundle({ args: ['true'] });
    const create = runtime.create({ id: lab.id(), bundle, stdio: noStdio });
    await expect(create).rejects.toMatchObject(failure);
    expect(readdirSync(lab.root)).toEqual([]);
  });

  it('is found again when it was moved to another directory of PATH', async () => {
    const [first, second] = [join(lab.directory, 'p1'), join(lab.directory, 'p2')];
    for (const directory of [first, second]) mkdirSync(directory);
    const path = process.env.PATH;
    process.env.PATH = `${first}:${second}:${path}`;
    try {
      renameSync(program('moving', 'exec runc "$@"'), join(first, 'moving'));
      const runtime = lab.runtimeOf('moving');
      expect(await runtime.list()).toEqual([]);
      renameSync(join(first, 'moving'), join(second, 'moving'));
      expect(await runtime.list()).toEqual([]);
      renameSync(join(second, 'moving'), join(lab.directory, 'moving'));
      await expect(runtime.list()).rejects.toMatchObject({ code: 'unavailable' });
    } finally {
      process.env.PATH = path;
    }
  });

  it('reports a runtime that dies of a signal', async () => {
    const runtime = lab.runtimeOf(program('dying', 'kill -9 $$'));
    await expect(runtime.list()).rejects.toThrow('dying list failed with signal SIGKILL');
  });

  it('reports a runtime that prints what it should not', async () => {
    const runtime = lab.runtimeOf(program('odd', 'echo \'[{"id":"x"}]\''));
    await expect(runtime.list()).rejects.toThrow('{"id":"x"}');
  });
});

describe('a cancelled create', () => {
  it('before it began makes nothing', async () => {
    const signal = AbortSignal.abort(new Error('too late'));
    await expect(lab.create({ args: ['true'] }, { signal })).rejects.toThrow('too late');
    expect(readdirSync(lab.root)).toEqual([]);
  });

  it.each([
    0, 1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 60,
  ])('leaves nothing behind, cancelled %d ms into it', async (ms) => {
    const signal = AbortSignal.timeout(ms);
    const outcome = await lab.create({ args: ['sleep', '1000'] }, { signal }).then(
      (container) => container.delete({ force: true }).then(() => 'created'),
      (error: Error) => error.name,
    );
    expect(['created', 'TimeoutError']).toContain(outcome);
    // The id is free again.
    const again = await lab.create({ args: ['true'] });
    await again.delete();
  });

  it('closes the terminal that had come already', async () => {
    const controller = new AbortController();
    const create = lab.create({ args: ['sh'], terminal: true }, { signal: controller.signal });
    controller.abort(new Error('changed my mind'));
    await expect(create).rejects.toThrow('changed my mind');
  });

  it('kills a runtime that hangs, with what it started', async () => {
    const path = program(
      'hanging',
      '[ "$1" = --version ] && exec runc --version\nsleep 1000 & sleep 1000',
    );
    const runtime = lab.runtimeOf(path);
    const bundle = lab.bundle({ args: ['true'] });
    const signal = AbortSignal.timeout(100);
    // Its delete hangs as well: the undo must be bounded too.
    const create = runtime.create({ id: lab.id(), bundle, stdio: noStdio, signal });
    await expect(create).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it('takes a hanging runc apart that has made the cgroup and the init already', async () => {
    // A hook that runs in runc's create, after the container's processes were made.
    const hook = program('hook', 'sleep 1000');
    const bundle = lab.bundle({
      args: ['sleep', '1000'],
      hooks: { createRuntime: [{ path: hook }] },
    });
    const signal = AbortSignal.timeout(100);
    const create = lab.runtime.create({ id: lab.id(), bundle, stdio: noStdio, signal });
    await expect(create).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(await lab.runtime.list()).toEqual([]);
  });
});

describe('a cancelled exec', () => {
  it.each([
    0, 2, 5, 10, 15, 20, 25, 30, 40,
  ])('leaves no process behind, cancelled %d ms into it', async (ms) => {
    const container = await lab.create({ args: ['sleep', '1000'] });
    await container.start();
    const signal = AbortSignal.timeout(ms);
    const process = await container
      .exec({ process: execProcess(['sleep', '1000']), stdio: noStdio, signal })
      .catch((error: Error) => error);
    if (process instanceof Error) expect(process.name).toBe('TimeoutError');
    else process.signal(9);
    if (!(process instanceof Error)) await process.exited;
    expect(await container.processes()).toHaveLength(1);
    expect(readdirSync(join(lab.root, 'c'))).toHaveLength(2);
    await container.delete({ force: true });
  });
});

describe('a create that fails', () => {
  it('says that the memory limit is too small to start', async () => {
    const create = lab.create({ args: ['true'], resources: { memory: { limit: 300_000 } } });
    await expect(create).rejects.toThrow(/memory limit of 300000 bytes is too small/);
    expect(readdirSync(lab.root)).toEqual([]);
  });

  it('takes the leftover directory of an earlier agent over', async () => {
    mkdirSync(join(lab.root, 'c/4711'), { recursive: true });
    writeFileSync(join(lab.root, 'c/4711/pid'), '4711');
    const container = await lab.create({ args: ['true'] });
    expect(existsSync(join(lab.root, 'c/4711'))).toBe(false);
    expect(lab.complaints).toHaveLength(1);
    await container.delete();
  });
});

describe('a container that somebody else starts', () => {
  it('is not killed by a delete that is not forced', async () => {
    const container = await lab.create({ args: ['sleep', '1000'] });
    lab.byHand('start', 'c');
    await expect(container.start()).rejects.toMatchObject({ code: 'already-running' });
    await expect(container.delete()).rejects.toMatchObject({ code: 'not-stopped' });
    expect(container.init.status).toBeUndefined();
    await container.delete({ force: true });
  });
});

describe('a container that somebody else deletes', () => {
  it('is not found any more, and its bookkeeping goes', async () => {
    const container = await lab.create({ args: ['true'] });
    await container.start();
    await container.init.exited;
    const other = lab.runtimeOf('runc');
    expect(await other.list()).toMatchObject([{ id: 'c', status: 'stopped' }]);
    lab.byHand('delete', 'c');
    await expect(container.state()).rejects.toMatchObject({ code: 'not-found' });
    await expect(container.delete()).rejects.toMatchObject({ code: 'not-found' });
    expect(readdirSync(lab.root)).toEqual([]);
    const again = await lab.create({ args: ['true'] });
    await again.delete();
  });
});
