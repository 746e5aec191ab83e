import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Cgroup, locateCgroup, locateOwnCgroup } from '../../src/cgroup/hierarchy.ts';
import { freeze, killAll, listProcesses, removeEmpty, thaw } from '../../src/cgroup/processes.ts';
import { removeCgroups } from '../support/cgroup-tree.ts';
import { descriptors } from '../support/proc.ts';

const own = locateCgroup(process.pid);
/** Those that are mounted here: one at least, both on a hybrid machine. */
const hierarchies = [
  { version: 'v1' as const, parent: own?.controllers.get('freezer') ?? '' },
  { version: 'v2' as const, parent: own?.unified ?? '' },
].filter(({ parent }) => parent !== '');

let counter = 0;

test('this machine has a hierarchy that can freeze', () => {
  expect(hierarchies).not.toEqual([]);
});

describe.each(hierarchies)('a cgroup in a $version hierarchy', ({ version, parent }) => {
  /** An empty cgroup of this test, removed after it with all that is in it. */
  function makeCgroup(): { cgroup: Cgroup; directory: string } {
    counter += 1;
    const directory = join(parent, `gcs-test-${process.pid}-${counter}`);
    mkdirSync(directory);
    const cgroup: Cgroup =
      version === 'v1'
        ? { controllers: new Map([['freezer', directory]]), unified: undefined }
        : { controllers: new Map(), unified: directory };
    onTestFinished(async () => {
      await killAll(cgroup);
      removeCgroups([directory]);
    });
    return { cgroup, directory };
  }

  /** A shell script whose shell is in the cgroup from its first command on. Killed and collected after the test. */
  async function runIn(directory: string, script: string): Promise<ChildProcess> {
    const child = spawn(
      'sh',
      ['-c', `echo $$ > "$1"; echo ready; ${script}`, 'sh', join(directory, 'cgroup.procs')],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    onTestFinished(async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    });
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    return child;
  }

  const ended = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };

  test('lists its processes and those of the cgroups below', async () => {
    const { cgroup, directory } = makeCgroup();
    const below = join(directory, 'below');
    mkdirSync(below);
    const first = await runIn(directory, 'exec sleep 1000');
    const second = await runIn(below, 'exec sleep 1000');
    expect((await listProcesses(cgroup)).sort()).toEqual([first.pid, second.pid].sort());
    await killAll(cgroup);
    expect(await listProcesses(cgroup)).toEqual([]);
  });

  test('kills processes that fork all the time, and returns when all have ended', async () => {
    const { cgroup, directory } = makeCgroup();
    const forker = 'while :; do sh -c "sh -c : & sh -c :" & sh -c :; done';
    const children = [
      await runIn(directory, forker),
      await runIn(directory, `trap "" TERM INT; ${forker}`),
      await runIn(directory, 'exec setsid sleep 1000'),
    ];
    await killAll(cgroup);
    expect(await listProcesses(cgroup)).toEqual([]);
    await Promise.all(children.map(ended));
    expect(children.map(({ signalCode }) => signalCode)).toEqual(Array(3).fill('SIGKILL'));
  });

  test('kills processes that are frozen, in cgroups below too', async () => {
    const { cgroup, directory } = makeCgroup();
    const below = join(directory, 'below');
    mkdirSync(below);
    const inner = await runIn(below, 'exec sleep 1000');
    const outer = await runIn(directory, 'exec sleep 1000');
    const innerCgroup: Cgroup =
      version === 'v1'
        ? { controllers: new Map([['freezer', below]]), unified: undefined }
        : { controllers: new Map(), unified: below };
    await freeze(innerCgroup);
    await freeze(cgroup);
    await killAll(cgroup);
    await Promise.all([ended(inner), ended(outer)]);
    expect([inner.signalCode, outer.signalCode]).toEqual(['SIGKILL', 'SIGKILL']);
  });

  test('frozen processes stand still until they are thawed', async () => {
    const { cgroup, directory } = makeCgroup();
    const child = await runIn(directory, 'while read line; do echo "got $line"; done');
    const output: string[] = [];
    child.stdout?.on('data', (data: Buffer) => output.push(data.toString()));

    await freeze(cgroup);
    const state = () =>
      version === 'v1'
        ? readFileSync(join(directory, 'freezer.state'), 'utf8').trim()
        : readFileSync(join(directory, 'cgroup.events'), 'utf8');
    expect(state()).toMatch(version === 'v1' ? /^FROZEN$/ : /^frozen 1$/m);
    child.stdin?.write('first\n');
    expect(output).toEqual([]);

    const answer = once(child.stdout as NodeJS.ReadableStream, 'data');
    await thaw(cgroup);
    await answer;
    expect(output.join('')).toBe('got first\n');
    expect(state()).toMatch(version === 'v1' ? /^THAWED$/ : /^frozen 0$/m);
  });

  test('an empty cgroup, and one that is gone, have nothing to freeze or kill', async () => {
    const { cgroup, directory } = makeCgroup();
    await freeze(cgroup);
    await thaw(cgroup);
    await killAll(cgroup);
    removeCgroups([directory]);
    await freeze(cgroup);
    await thaw(cgroup);
    await killAll(cgroup);
    expect(existsSync(directory)).toBe(false);
    expect(await listProcesses(cgroup)).toEqual([]);
  });

  test('an aborted freeze says why and leaves the processes running', async () => {
    const { cgroup, directory } = makeCgroup();
    const child = await runIn(directory, 'read line; exit 7');
    const reason = new Error('changed my mind');
    await expect(freeze(cgroup, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    child.stdin?.write('go\n');
    await ended(child);
    expect(child.exitCode).toBe(7);
  });

  test('the cgroup of the agent itself is refused', async () => {
    const cgroup: Cgroup =
      version === 'v1'
        ? { controllers: new Map([['freezer', parent]]), unified: undefined }
        : { controllers: new Map(), unified: parent };
    await expect(killAll(cgroup)).rejects.toThrow(/no cgroup of its own/);
    await expect(freeze(cgroup)).rejects.toThrow(/no cgroup of its own/);
  });

  test('no descriptor stays open', async () => {
    const { cgroup, directory } = makeCgroup();
    await runIn(directory, 'sleep 1000 & sleep 1000');
    const kinds = () =>
      [...descriptors(process.pid).values()].filter((name) => !/^(pipe|socket):/.test(name)).sort();
    await freeze(cgroup);
    const before = kinds();
    await thaw(cgroup);
    await killAll(cgroup);
    expect(kinds()).toEqual(before);
  });
});

/** Any of version 1: some kernels are built without a freezer. */
const [[controller, parent] = ['pids', undefined]] = [...(own?.controllers ?? [])].filter(
  ([name]) => name !== 'freezer' && !name.startsWith('name='),
);

describe.skipIf(parent === undefined)('a cgroup in a v1 hierarchy without a freezer', () => {
  /** A cgroup with one below it, found through a process in it as a container's is. */
  async function runForker() {
    const directory = join(parent ?? '', `gcs-test-${process.pid}-plain`);
    const below = join(directory, 'below');
    mkdirSync(below, { recursive: true });
    onTestFinished(() => removeCgroups([directory]));
    const script = `echo $$ > ${directory}/cgroup.procs; echo ready; sleep 1000 & while :; do sh -c : & sh -c :; done`;
    const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const cgroup: Cgroup = {
      controllers: new Map([[controller, directory]]),
      unified: undefined,
    };
    onTestFinished(() => killAll(cgroup));
    await once(child.stdout, 'data');
    return { cgroup, directory, below, child };
  }

  test('is found by a process in it, and only that', async () => {
    const { directory, child } = await runForker();
    const found = locateOwnCgroup(child.pid ?? 0);
    expect(new Set(found?.controllers.values())).toEqual(new Set([directory]));
    expect(found?.unified).toBeUndefined();
  });

  test('is killed whole, whatever forks meanwhile, and then removed', async () => {
    const { cgroup, directory, below, child } = await runForker();
    await removeEmpty(cgroup);
    expect(existsSync(directory)).toBe(true);

    await killAll(cgroup);
    expect(await listProcesses(cgroup)).toEqual([]);
    if (child.signalCode === null) await once(child, 'exit');
    expect(child.signalCode).toBe('SIGKILL');

    await removeEmpty(cgroup);
    expect(existsSync(directory)).toBe(true);
    await removeEmpty({ controllers: new Map([[controller, below]]), unified: undefined });
    await removeEmpty(cgroup);
    expect(existsSync(directory)).toBe(false);
    await removeEmpty(cgroup);
  });
});
