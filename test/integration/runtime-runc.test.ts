import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { pipe } from '../../src/os/pipe.ts';
import type { ProcessStdio } from '../../src/runtime/runtime.ts';
import { execProcess, noStdio, type RuntimeLab } from '../support/runtime-lab.ts';
import { eachRuntime, readAll, refusal } from '../support/runtime-suite.ts';

/** A guest whose processor is interpreted gets fewer. */
const AT_ONCE = Number(process.env.GCS_TEST_AT_ONCE ?? 16);

eachRuntime((suite) => {
  it('says its version', async () => {
    expect(await suite.lab.runtime.version()).toMatch(/^\d+\.\d+/);
  });

  it('takes a container through its life', async () => {
    const bundle = suite.lab.bundle({ args: 'read line; exit 42', cwd: '/made/for it' });
    const stdin = pipe();
    const container = await suite.lab.runtime.create({
      id: suite.lab.id(),
      bundle,
      stdio: { kind: 'descriptors', stdin: stdin.read, stdout: null, stderr: null },
    });
    stdin.read.close();
    const { init } = container;
    expect(container).toMatchObject({ id: 'c', bundle, ownsPidNamespace: true });
    expect(await container.state()).toMatchObject({
      id: 'c',
      status: 'created',
      pid: init.pid,
      bundle,
      created: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
    expect(readFileSync(join(suite.lab.root, 'c/initpid'), 'utf8')).toBe(String(init.pid));
    expect(readFileSync(join(suite.lab.root, `c/${init.pid}/pid`), 'utf8')).toBe(String(init.pid));
    expect(readdirSync(suite.lab.root)).toEqual(['c']);
    expect(init.startTime).toBeGreaterThan(0);
    await container.start();
    expect(await suite.lab.runtime.list()).toMatchObject([{ id: 'c', status: 'running' }]);
    expect(readlinkSync(`/proc/${init.pid}/cwd`)).toBe('/made/for it');
    expect(init.status).toBeUndefined();
    stdin.write.close();
    expect(await init.exited).toEqual({ kind: 'exited', code: 42 });
    expect(init.status).toEqual({ kind: 'exited', code: 42 });
    expect(init.signal(9)).toBe(false);
    expect((await container.state()).status).toBe('stopped');
    expect(await container.processes()).toEqual([]);
    await container.delete();
    expect(await suite.lab.runtime.list()).toEqual([]);
    await refusal('not-found', container.delete());
  });

  it('gives the container the descriptors it was given', async () => {
    const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
    const container = await suite.lab.create(
      { args: 'cat; echo done >&2' },
      {
        stdio: {
          kind: 'descriptors',
          stdin: stdin.read,
          stdout: stdout.write,
          stderr: stderr.write,
        },
      },
    );
    for (const end of [stdin.read, stdout.write, stderr.write]) end.close();
    await container.start();
    writeFileSync(stdin.write.raw, 'over there');
    stdin.write.close();
    expect(await readAll(stdout.read)).toBe('over there');
    expect(await readAll(stderr.read)).toBe('done\n');
    await container.init.exited;
    await container.delete();
  });

  it('refuses what needs a running container once init has ended', async () => {
    const container = await suite.lab.create({ args: ['true'] });
    await container.start();
    await container.init.exited;
    await refusal('not-running', container.kill(15));
    await refusal('not-running', container.kill(9, { all: true }));
    await refusal('not-running', container.start());
    await refusal(
      'not-running',
      container.exec({ process: execProcess(['true']), stdio: noStdio }),
      suite.expected.execStopped,
    );
    await container.delete();
  });

  it('refuses a second create, a second start and the delete of a running container', async () => {
    const container = await suite.lab.create({ args: ['sleep', '1000'] });
    await refusal('already-exists', suite.lab.create({ args: ['true'] }));
    await container.start();
    await refusal('already-running', container.start(), suite.expected.startTwice);
    await refusal('not-stopped', container.delete(), suite.expected.deleteRunning);
    // All the same it is still known and works.
    await container.kill(15);
    await container.kill(9);
    await container.init.exited;
    await container.delete();
  });

  it('refuses an id that another agent has in the same runtime, and leaves that one alone', async () => {
    const container = await suite.lab.create({ args: ['sleep', '1000'] });
    await container.start();
    const files = readdirSync(join(suite.lab.root, 'c'));
    const other = suite.lab.runtimeOf(suite.lab.program);
    const bundle = suite.lab.bundle({ args: ['true'] });
    await refusal('already-exists', other.create({ id: suite.lab.id(), bundle, stdio: noStdio }));
    expect(readdirSync(join(suite.lab.root, 'c'))).toEqual(files);
    expect((await container.state()).status).toBe('running');
    await container.delete({ force: true });
  });

  it('pauses and resumes', async () => {
    const container = await suite.lab.create({ args: ['sleep', '1000'] });
    await container.start();
    await container.pause();
    expect((await container.state()).status).toBe('paused');
    await refusal('not-stopped', container.delete());
    await container.resume();
    expect((await container.state()).status).toBe('running');
    if (suite.expected.resumeRunning !== undefined) {
      await refusal(suite.expected.resumeRunning, container.resume());
    }
    await container.pause();
    await container.delete({ force: true });
  });

  it('passes resources on digit for digit', async () => {
    const container = await suite.lab.create({ args: ['sleep', '1000'] });
    await container.start();
    const limit = memoryLimitFile(suite.lab, container.init.pid);
    await container.update({ memory: { limit: 268_435_456 } });
    expect(readFileSync(limit, 'utf8').trim()).toBe('268435456');
    await container.update({ memory: { limit: 9_223_372_036_854_771_712n } });
    expect(readFileSync(limit, 'utf8').trim()).toMatch(/^(9223372036854771712|max)$/);
    await container.delete({ force: true });
    await refusal('not-found', container.update({ memory: { limit: 268_435_456 } }));
  });

  it.each(suite.expected.ids)('takes %j for an id', async (text) => {
    const id = suite.lab.id(text);
    const container = await suite.lab.create({ args: ['sleep', '1000'] }, { id });
    await container.start();
    const process = await container.exec({ process: execProcess('exit 6'), stdio: noStdio });
    expect(await process.exited).toEqual({ kind: 'exited', code: 6 });
    await container.kill(9);
    await container.init.exited;
    await container.delete();
  });

  it('runs many containers at once, each with its own end', async () => {
    const runOne = async (code: number): Promise<unknown> => {
      const id = suite.lab.id(`many-${code}`);
      const container = await suite.lab.create({ args: `exit ${code}` }, { id });
      const process = await container.exec({
        process: execProcess(`exit ${code + 100}`),
        stdio: noStdio,
      });
      const exec = await process.exited;
      await container.start();
      const init = await container.init.exited;
      await container.delete();
      return [init, exec];
    };
    const codes = Array.from({ length: AT_ONCE }, (_, index) => index + 1);
    const exited = (code: number) => ({ kind: 'exited', code });
    expect(await Promise.all(codes.map(runOne))).toEqual(
      codes.map((code) => [exited(code), exited(code + 100)]),
    );
  });

  it('creates nothing from a bundle it cannot use', async () => {
    await refusal('other', suite.lab.create({ args: ['/no/such'] }), suite.expected.missingInit);
    await refusal('other', suite.lab.create({ args: ['true'], rootPath: '/no/such/rootfs' }));
    const empty: ProcessStdio = { kind: 'terminal' };
    await refusal(
      'other',
      suite.lab.create({ args: ['true'] }, { stdio: empty }),
      /process\.terminal/,
    );
    const missing = suite.lab.runtime.create({
      id: suite.lab.id(),
      bundle: join(suite.lab.directory, 'none'),
      stdio: noStdio,
    });
    await refusal('other', missing, /config\.json/);
    expect(await suite.lab.runtime.list()).toEqual([]);
    expect(readdirSync(suite.lab.root)).toEqual([]);
  });
});

function memoryLimitFile(lab: RuntimeLab, pid: number): string {
  const membership = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
  const v1 = /^\d+:memory:(.*)$/m.exec(membership)?.[1];
  const v2 = /^0::(.*)$/m.exec(membership)?.[1];
  if (v1 !== undefined) {
    const root = lab.cgroups.find((path) => path.includes('/memory/'));
    return join(root ?? '', v1.split('/').at(-1) ?? '', 'memory.limit_in_bytes');
  }
  return join('/sys/fs/cgroup', v2 ?? '', 'memory.max');
}
