import { readdirSync, readFileSync, readlinkSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Fd } from '../../src/os/fd.ts';
import { pipe } from '../../src/os/pipe.ts';
import { untilReady } from '../../src/os/poll.ts';
import { exitCodeOf } from '../../src/os/process.ts';
import type { ProcessStdio, RuntimeErrorCode } from '../../src/runtime/runtime.ts';
import type { SpecOptions } from '../support/bundle.ts';
import { execProcess, installed, noStdio, RuntimeLab } from '../support/runtime-lab.ts';

/** Where the two runtimes say different things. */
const differences = {
  runc: {
    missingInit:
      /exit status 1: runc create failed: unable to start container process: exec: "\/no\/such": stat \/no\/such: no such file or directory$/,
    missingExec:
      /^failed to run runc create\/exec call for container c with exit status 255: exec failed: unable to start container process: exec: "\/no\/such": stat \/no\/such: no such file or directory$/,
    startTwice: /^runc start failed with exit status 1: cannot start an already running container$/,
    deleteRunning:
      /^runc delete failed with exit status 1: cannot delete container c that is not stopped: running$/,
    execStopped: /exit status 255: exec failed: cannot exec in a stopped container$/,
    resumeRunning: 'other' as RuntimeErrorCode | undefined,
    ids: ['-x', '--force', '...', '+_-.', '0'],
  },
  crun: {
    missingInit: /executable file `\/no\/such` not found in \$PATH: No such file or directory$/,
    missingExec:
      /^failed to run crun create\/exec call for container c with exit status 255: executable file `\/no\/such` not found in \$PATH: No such file or directory$/,
    startTwice:
      /^crun start failed with exit status 1: cannot open `.*exec\.fifo`: No such file or directory$/,
    deleteRunning:
      /^crun delete failed with exit status 1: the container `c` is not in `created` or `stopped` state$/,
    execStopped: /the container `c` is not running$/,
    resumeRunning: undefined,
    // It names a keyring after the container, and the kernel keeps names with a dot in front.
    ids: ['-x', '--force', '+_-.', '0'],
  },
};

/** What is written to a pipe until its last writer has gone. */
async function readAll(read: Fd): Promise<string> {
  using owned = read;
  const chunks: Buffer[] = [];
  for (;;) {
    await untilReady(owned.raw, { read: true });
    const chunk = Buffer.alloc(65_536);
    const count = readSync(owned.raw, chunk);
    if (count === 0) return Buffer.concat(chunks).toString();
    chunks.push(chunk.subarray(0, count));
  }
}

/** Reads a terminal's master until `text` has come. */
async function readUntil(master: Fd, text: string): Promise<string> {
  let seen = '';
  while (!seen.includes(text)) {
    await untilReady(master.raw, { read: true });
    const chunk = Buffer.alloc(4096);
    seen += chunk.toString('utf8', 0, readSync(master.raw, chunk));
  }
  return seen;
}

describe.each(['runc', 'crun'] as const)('%s', (name) => {
  describe.skipIf(!installed(name))('as the runtime', () => {
    const expected = differences[name];
    let lab: RuntimeLab;

    beforeAll(async () => {
      lab = new RuntimeLab(name);
      await lab.runtime.version(); // Whatever the runtime makes when first run is no leftover.
      await lab.runtime.list();
    });
    afterAll(async () => {
      await lab[Symbol.asyncDispose]();
    });
    beforeEach(() => lab.count());
    afterEach(async () => {
      try {
        await lab.assertClean();
        expect(lab.complaints).toEqual([]);
      } finally {
        await lab.sweep();
      }
    });

    async function refusal(
      code: RuntimeErrorCode,
      work: Promise<unknown>,
      message: RegExp = /./,
    ): Promise<void> {
      await expect(work).rejects.toMatchObject({ name: 'RuntimeError', code });
      await expect(work).rejects.toThrow(message);
    }

    it('says its version', async () => {
      expect(await lab.runtime.version()).toMatch(/^\d+\.\d+/);
    });

    it('takes a container through its life', async () => {
      const bundle = lab.bundle({ args: 'read line; exit 42', cwd: '/made/for it' });
      const stdin = pipe();
      const container = await lab.runtime.create({
        id: lab.id(),
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
      expect(readFileSync(join(lab.root, 'c/initpid'), 'utf8')).toBe(String(init.pid));
      expect(readFileSync(join(lab.root, `c/${init.pid}/pid`), 'utf8')).toBe(String(init.pid));
      expect(readdirSync(lab.root)).toEqual(['c']);
      expect(init.startTime).toBeGreaterThan(0);
      await container.start();
      expect(await lab.runtime.list()).toMatchObject([{ id: 'c', status: 'running' }]);
      expect(readlinkSync(`/proc/${init.pid}/cwd`)).toBe('/made/for it');
      expect(init.status).toBeUndefined();
      stdin.write.close();
      expect(await init.exited).toEqual({ kind: 'exited', code: 42 });
      expect(init.status).toEqual({ kind: 'exited', code: 42 });
      expect(init.signal(9)).toBe(false);
      expect((await container.state()).status).toBe('stopped');
      expect(await container.processes()).toEqual([]);
      await container.delete();
      expect(await lab.runtime.list()).toEqual([]);
      await refusal('not-found', container.delete());
    });

    it('gives the container the descriptors it was given', async () => {
      const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
      const container = await lab.create(
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

    it('reports every exit code of an exec exactly', async () => {
      const container = await lab.create({ args: ['sleep', '1000'] });
      await container.start();
      const codes = [0, 1, 2, 126, 127, 128, 129, 137, 143, 254, 255];
      for (const code of codes) {
        const process = await container.exec({
          process: execProcess(`exit ${code}`),
          stdio: noStdio,
        });
        expect(await process.exited).toEqual({ kind: 'exited', code });
      }
      await container.delete({ force: true });
      expect(await container.init.exited).toEqual({
        kind: 'signaled',
        signal: 9,
        coreDumped: false,
      });
    });

    it('reports every signal that ends an exec, which goes through its pidfd', async () => {
      const container = await lab.create({ args: ['sleep', '1000'] });
      await container.start();
      for (const signal of [1, 2, 9, 10, 14, 15, 31, 34, 64]) {
        const process = await container.exec({
          process: execProcess(['sleep', '1000']),
          stdio: noStdio,
        });
        expect(process.signal(signal)).toBe(true);
        const status = await process.exited;
        expect(status).toMatchObject({ kind: 'signaled', signal });
        expect(exitCodeOf(status)).toBe(128 + signal);
        expect(process.signal(signal)).toBe(false);
      }
      await container.delete({ force: true });
    });

    it('has the exact code of an init that ends at once', async () => {
      for (let code = 1; code <= 40; code += 1) {
        const container = await lab.create({ args: `exit ${code}` });
        await container.start();
        expect(await container.init.exited).toEqual({ kind: 'exited', code });
        await container.delete();
      }
    });

    it('has the exact code of an exec that ends before its pid file is read', async () => {
      const container = await lab.create({ args: ['sleep', '1000'] });
      await container.start();
      const ends = await Promise.all(
        Array.from({ length: 24 }, async (_, code) => {
          const process = await container.exec({
            process: execProcess(`exit ${code}`),
            stdio: noStdio,
          });
          return process.exited;
        }),
      );
      expect(ends).toEqual(ends.map((_, code) => ({ kind: 'exited', code })));
      await container.delete({ force: true });
    });

    it('runs an exec in a container that is created and not started', async () => {
      const container = await lab.create({ args: ['true'] });
      const process = await container.exec({ process: execProcess('exit 9'), stdio: noStdio });
      expect(await process.exited).toEqual({ kind: 'exited', code: 9 });
      await container.delete();
      expect(await container.init.exited).toMatchObject({ kind: 'signaled', signal: 9 });
    });

    it('leaves nothing of an exec that fails, and the container as it was', async () => {
      const container = await lab.create({ args: ['sleep', '1000'] });
      await container.start();
      const before = readdirSync(join(lab.root, 'c')).sort();
      await refusal(
        'other',
        container.exec({ process: execProcess(['/no/such']), stdio: noStdio }),
        expected.missingExec,
      );
      await refusal(
        'other',
        container.exec({
          process: execProcess(['/no/such'], { terminal: true }),
          stdio: { kind: 'terminal' },
        }),
      );
      expect(readdirSync(lab.root)).toEqual(['c']);
      expect(readdirSync(join(lab.root, 'c')).sort()).toEqual(before);
      expect(await container.processes()).toHaveLength(1);
      await container.delete({ force: true });
    });

    it('removes the directory of an exec when it has ended', async () => {
      const container = await lab.create({ args: ['sleep', '1000'] });
      await container.start();
      const process = await container.exec({
        process: execProcess(['sleep', '1000'], { env: ['PATH=/bin', 'KEY=18446744073709551615'] }),
        stdio: noStdio,
      });
      const directory = join(lab.root, 'c', String(process.pid));
      expect(readFileSync(join(directory, 'process.json'), 'utf8')).toContain('"sleep"');
      process.signal(9);
      await process.exited;
      expect(readdirSync(join(lab.root, 'c')).sort()).toEqual(
        [String(container.init.pid), 'initpid'].sort(),
      );
      await container.delete({ force: true });
    });

    it('refuses what needs a running container once init has ended', async () => {
      const container = await lab.create({ args: ['true'] });
      await container.start();
      await container.init.exited;
      await refusal('not-running', container.kill(15));
      await refusal('not-running', container.kill(9, { all: true }));
      await refusal('not-running', container.start());
      await refusal(
        'not-running',
        container.exec({ process: execProcess(['true']), stdio: noStdio }),
        expected.execStopped,
      );
      await container.delete();
    });

    it('refuses a second create, a second start and the delete of a running container', async () => {
      const container = await lab.create({ args: ['sleep', '1000'] });
      await refusal('already-exists', lab.create({ args: ['true'] }));
      await container.start();
      await refusal('already-running', container.start(), expected.startTwice);
      await refusal('not-stopped', container.delete(), expected.deleteRunning);
      // All the same it is still known and works.
      await container.kill(15);
      await container.kill(9);
      await container.init.exited;
      await container.delete();
    });

    it('refuses an id that another agent has in the same runtime, and leaves that one alone', async () => {
      const container = await lab.create({ args: ['sleep', '1000'] });
      await container.start();
      const files = readdirSync(join(lab.root, 'c'));
      const other = lab.runtimeOf(lab.program);
      const bundle = lab.bundle({ args: ['true'] });
      await refusal('already-exists', other.create({ id: lab.id(), bundle, stdio: noStdio }));
      expect(readdirSync(join(lab.root, 'c'))).toEqual(files);
      expect((await container.state()).status).toBe('running');
      await container.delete({ force: true });
    });

    it('signals init, or every process of the container', async () => {
      const trap = 'trap "exit 5" TERM; sleep 1000 & sleep 1000 & wait';
      const container = await lab.create({ args: trap });
      await container.start();
      await untilProcesses(container, 3);
      await container.kill(15);
      expect(await container.init.exited).toEqual({ kind: 'exited', code: 5 });
      await container.delete();

      const second = await lab.create({ args: ['sleep', '1000'] });
      await second.start();
      const process = await second.exec({
        process: execProcess(['sleep', '1000']),
        stdio: noStdio,
      });
      await second.kill(9, { all: true });
      expect(await process.exited).toMatchObject({ kind: 'signaled', signal: 9 });
      expect(await second.init.exited).toMatchObject({ kind: 'signaled', signal: 9 });
      await second.delete();
    });

    it('lists processes with their command lines and who started them', async () => {
      const container = await lab.create({ args: 'sleep 1000 & wait' });
      await container.start();
      const exec = await container.exec({
        process: execProcess(['sleep', '2000', 'a b', ''].slice(0, 2)),
        stdio: noStdio,
      });
      const processes = await untilProcesses(container, 3);
      const byCommand = new Map(processes.map((row) => [row.commandLine.join(' '), row]));
      expect(byCommand.get('sh -c sleep 1000 & wait')).toMatchObject({
        pid: container.init.pid,
        createdByRuntime: true,
        zombie: false,
      });
      expect(byCommand.get('sleep 1000')).toMatchObject({ createdByRuntime: false });
      expect(byCommand.get('sleep 2000')).toMatchObject({ pid: exec.pid, createdByRuntime: true });
      await container.delete({ force: true });
    });

    it('pauses and resumes', async () => {
      const container = await lab.create({ args: ['sleep', '1000'] });
      await container.start();
      await container.pause();
      expect((await container.state()).status).toBe('paused');
      await refusal('not-stopped', container.delete());
      await container.resume();
      expect((await container.state()).status).toBe('running');
      if (expected.resumeRunning !== undefined) {
        await refusal(expected.resumeRunning, container.resume());
      }
      await container.pause();
      await container.delete({ force: true });
    });

    it('passes resources on digit for digit', async () => {
      const container = await lab.create({ args: ['sleep', '1000'] });
      await container.start();
      const limit = memoryLimitFile(lab, container.init.pid);
      await container.update({ memory: { limit: 268_435_456 } });
      expect(readFileSync(limit, 'utf8').trim()).toBe('268435456');
      await container.update({ memory: { limit: 9_223_372_036_854_771_712n } });
      expect(readFileSync(limit, 'utf8').trim()).toMatch(/^(9223372036854771712|max)$/);
      await container.delete({ force: true });
      await refusal('not-found', container.update({ memory: { limit: 268_435_456 } }));
    });

    it('gives init a terminal of the size asked for', async () => {
      const container = await lab.create({
        args: 'stty size; read x; exit 3',
        terminal: true,
        consoleSize: { height: 30, width: 100 },
      });
      const master = container.init.terminal;
      if (master === undefined) throw new Error('no terminal');
      await container.start();
      expect(await readUntil(master, '30 100')).toContain('30 100');
      writeFileSync(master.raw, 'go\n');
      expect(await container.init.exited).toEqual({ kind: 'exited', code: 3 });
      master.close();
      await container.delete();
    });

    it('gives an exec a terminal, also under an id as long as a name can be', async () => {
      const id = lab.id('x'.repeat(255));
      const container = await lab.create({ args: ['sleep', '1000'], terminal: true }, { id });
      await container.start();
      const process = await container.exec({
        process: execProcess('tty; exit 4', { consoleSize: { height: 11, width: 22 } }),
        stdio: { kind: 'terminal' },
      });
      const master = process.terminal;
      if (master === undefined) throw new Error('no terminal');
      expect(await readUntil(master, '/dev/pts/')).toContain('/dev/pts/');
      expect(await process.exited).toEqual({ kind: 'exited', code: 4 });
      master.close();
      container.init.terminal?.close();
      await container.delete({ force: true });
    });

    it.each(expected.ids)('takes %j for an id', async (text) => {
      const id = lab.id(text);
      const container = await lab.create({ args: ['sleep', '1000'] }, { id });
      await container.start();
      const process = await container.exec({ process: execProcess('exit 6'), stdio: noStdio });
      expect(await process.exited).toEqual({ kind: 'exited', code: 6 });
      await container.kill(9);
      await container.init.exited;
      await container.delete();
    });

    describe('when init ends in a pid namespace that is not its own', () => {
      /** Resolves once init has ended with children, grandchildren and an exec left. */
      async function leaveProcesses(
        pidNamespace: NonNullable<SpecOptions['pidNamespace']>,
        id = lab.id(),
      ) {
        const stdin = pipe();
        const container = await lab.create(
          { args: 'sleep 1000 & sleep 1000 & (sleep 1000 & sleep 1000) & read x', pidNamespace },
          {
            id,
            stdio: { kind: 'descriptors', stdin: stdin.read, stdout: null, stderr: null },
          },
        );
        stdin.read.close();
        expect(container.ownsPidNamespace).toBe(false);
        await container.start();
        const exec = await container.exec({
          process: execProcess(['sleep', '1000']),
          stdio: noStdio,
        });
        await untilProcesses(container, 6);
        stdin.write.close();
        expect(await exec.exited).toMatchObject({ kind: 'signaled', signal: 9 });
        expect(await container.init.exited).toMatchObject({ kind: 'exited' });
        return container;
      }

      it("kills what outlives init in the agent's own", async () => {
        const container = await leaveProcesses('none');
        await container.delete();
      });

      it("kills what outlives init in another container's, and only that", async () => {
        const sandbox = await lab.create({ args: ['sleep', '1000'] }, { id: lab.id('sandbox') });
        await sandbox.start();
        const path = `/proc/${sandbox.init.pid}/ns/pid`;
        const container = await leaveProcesses({ path });
        await container.delete();
        expect(sandbox.init.status).toBeUndefined();
        expect((await sandbox.state()).status).toBe('running');
        await sandbox.delete({ force: true });
      });

      it('deletes by force what still runs', async () => {
        const container = await lab.create({ args: 'sleep 1000 & wait', pidNamespace: 'none' });
        await container.start();
        await untilProcesses(container, 2);
        await container.delete({ force: true });
      });
    });

    it('creates nothing from a bundle it cannot use', async () => {
      await refusal('other', lab.create({ args: ['/no/such'] }), expected.missingInit);
      await refusal('other', lab.create({ args: ['true'], rootPath: '/no/such/rootfs' }));
      const empty: ProcessStdio = { kind: 'terminal' };
      await refusal('other', lab.create({ args: ['true'] }, { stdio: empty }), /process\.terminal/);
      const missing = lab.runtime.create({
        id: lab.id(),
        bundle: join(lab.directory, 'none'),
        stdio: noStdio,
      });
      await refusal('other', missing, /config\.json/);
      expect(await lab.runtime.list()).toEqual([]);
      expect(readdirSync(lab.root)).toEqual([]);
    });
  });
});

async function untilProcesses(
  container: Awaited<ReturnType<RuntimeLab['create']>>,
  count: number,
): Promise<Awaited<ReturnType<typeof container.processes>>> {
  // A shell forks when it gets to it; the cgroup's list tells nobody.
  for (;;) {
    const processes = await container.processes();
    const ready = processes.filter((row) => row.commandLine.length > 0);
    if (ready.length >= count) return processes;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

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
