import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pipe } from '../../src/os/pipe.ts';
import { exitCodeOf } from '../../src/os/process.ts';
import type { SpecOptions } from '../support/bundle.ts';
import { execProcess, noStdio } from '../support/runtime-lab.ts';
import { eachRuntime, readUntil, refusal, untilCommands } from '../support/runtime-suite.ts';

/** One child. */
const script = 'sleep 1000 & wait';
/** Three children, one of them with a child. */
const leaving = `sleep 1000 & sleep 1000 & sh -c "${script}" & read x`;

eachRuntime((suite) => {
  it('reports every exit code of an exec exactly', async () => {
    const container = await suite.lab.create({ args: ['sleep', '1000'] });
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
    const container = await suite.lab.create({ args: ['sleep', '1000'] });
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
      const container = await suite.lab.create({ args: `exit ${code}` });
      await container.start();
      expect(await container.init.exited).toEqual({ kind: 'exited', code });
      await container.delete();
    }
  });

  it('has the exact code of an exec that ends before its pid file is read', async () => {
    const container = await suite.lab.create({ args: ['sleep', '1000'] });
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
    const container = await suite.lab.create({ args: ['true'] });
    const process = await container.exec({ process: execProcess('exit 9'), stdio: noStdio });
    expect(await process.exited).toEqual({ kind: 'exited', code: 9 });
    await container.delete();
    expect(await container.init.exited).toMatchObject({ kind: 'signaled', signal: 9 });
  });

  it('leaves nothing of an exec that fails, and the container as it was', async () => {
    const container = await suite.lab.create({ args: ['sleep', '1000'] });
    await container.start();
    const before = readdirSync(join(suite.lab.root, 'c')).sort();
    await refusal(
      'other',
      container.exec({ process: execProcess(['/no/such']), stdio: noStdio }),
      suite.expected.missingExec,
    );
    await refusal(
      'other',
      container.exec({
        process: execProcess(['/no/such'], { terminal: true }),
        stdio: { kind: 'terminal' },
      }),
    );
    expect(readdirSync(suite.lab.root)).toEqual(['c']);
    expect(readdirSync(join(suite.lab.root, 'c')).sort()).toEqual(before);
    expect(await container.processes()).toHaveLength(1);
    await container.delete({ force: true });
  });

  it('removes the directory of an exec when it has ended', async () => {
    const container = await suite.lab.create({ args: ['sleep', '1000'] });
    await container.start();
    const process = await container.exec({
      process: execProcess(['sleep', '1000'], { env: ['PATH=/bin', 'KEY=18446744073709551615'] }),
      stdio: noStdio,
    });
    const directory = join(suite.lab.root, 'c', String(process.pid));
    expect(readFileSync(join(directory, 'process.json'), 'utf8')).toContain('"sleep"');
    process.signal(9);
    await process.exited;
    expect(readdirSync(join(suite.lab.root, 'c')).sort()).toEqual(
      [String(container.init.pid), 'initpid'].sort(),
    );
    await container.delete({ force: true });
  });

  it('signals init, or every process of the container', async () => {
    const trap = 'trap "exit 5" TERM; sleep 1000 & sleep 1000 & wait';
    const container = await suite.lab.create({ args: trap });
    await container.start();
    await untilCommands(container, [`sh -c ${trap}`, 'sleep 1000', 'sleep 1000']);
    await container.kill(15);
    expect(await container.init.exited).toEqual({ kind: 'exited', code: 5 });
    await container.delete();

    const second = await suite.lab.create({ args: ['sleep', '1000'] });
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
    const container = await suite.lab.create({ args: script });
    await container.start();
    const exec = await container.exec({
      process: execProcess(['sleep', '2000']),
      stdio: noStdio,
    });
    const processes = await untilCommands(container, [
      `sh -c ${script}`,
      'sleep 1000',
      'sleep 2000',
    ]);
    const byCommand = new Map(processes.map((row) => [row.commandLine.join(' '), row]));
    expect(byCommand.get(`sh -c ${script}`)).toMatchObject({
      pid: container.init.pid,
      createdByRuntime: true,
      zombie: false,
    });
    expect(byCommand.get('sleep 1000')).toMatchObject({ createdByRuntime: false });
    expect(byCommand.get('sleep 2000')).toMatchObject({ pid: exec.pid, createdByRuntime: true });
    await container.delete({ force: true });
  });

  it('gives init a terminal of the size asked for', async () => {
    const container = await suite.lab.create({
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
    const id = suite.lab.id('x'.repeat(255));
    const container = await suite.lab.create({ args: ['sleep', '1000'], terminal: true }, { id });
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

  it('asks the runtime for the processes of a container whose cgroup it cannot see', async () => {
    const { lab } = suite;
    const container = await lab.create({ args: script });
    await container.start();
    const processes = await untilCommands(container, [`sh -c ${script}`, 'sleep 1000']);
    const blind = lab.withoutCgroup(container);
    expect(await blind.processes()).toEqual(processes);
    await container.delete({ force: true });
  });

  describe('when init ends in a pid namespace that is not its own', () => {
    /** Resolves once init has ended with children, grandchildren and an exec left. */
    async function leaveProcesses(
      pidNamespace: NonNullable<SpecOptions['pidNamespace']>,
      id = suite.lab.id(),
    ) {
      const stdin = pipe();
      const container = await suite.lab.create(
        { args: leaving, pidNamespace },
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
      await untilCommands(container, [
        `sh -c ${leaving}`,
        'sh -c sleep 1000 & wait',
        ...Array.from({ length: 4 }, () => 'sleep 1000'),
      ]);
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
      const sandbox = await suite.lab.create(
        { args: ['sleep', '1000'] },
        { id: suite.lab.id('sandbox') },
      );
      await sandbox.start();
      const path = `/proc/${sandbox.init.pid}/ns/pid`;
      const container = await leaveProcesses({ path });
      await container.delete();
      expect(sandbox.init.status).toBeUndefined();
      expect((await sandbox.state()).status).toBe('running');
      await sandbox.delete({ force: true });
    });

    it('deletes by force what still runs', async () => {
      const container = await suite.lab.create({ args: script, pidNamespace: 'none' });
      await container.start();
      await untilCommands(container, [`sh -c ${script}`, 'sleep 1000']);
      await container.delete({ force: true });
    });
  });
});
