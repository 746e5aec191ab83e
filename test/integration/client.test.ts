import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { expect, test } from 'vitest';
import { defaultProcess, EmulatedHost, GuestClient } from '../../src/client/index.ts';
import { AgentProcess } from '../support/agent-process.ts';
import { shell, useClientRootfs, withGuest, withHost } from '../support/client-lab.ts';
import { testOutsideVm, testVm } from '../support/suite.ts';

useClientRootfs();

const nothing = Readable.from([]);

test('a container runs with exact streams and exit code, and its exit is told once', () =>
  withGuest(async ({ guest }) => {
    const exits = guest.notifications();
    await using container = await guest.createContainer(
      shell('hello', 'cat; echo err >&2; exit 7'),
    );
    const init = await container.start({ stdin: true });
    const streams = Promise.all([text(init.stdout ?? nothing), text(init.stderr ?? nothing)]);
    init.stdin?.write('in and ');
    init.stdin?.end('out');
    expect(await streams).toEqual(['in and out', 'err\n']);
    expect(await init.exited).toBe(7);
    const told = { containerId: 'hello', type: 'UnexpectedExit' };
    expect(await container.exited).toMatchObject(told);
    expect((await exits.next()).value).toMatchObject(told);
  }));

test('eight megabytes go through a process both ways, unchanged', () =>
  withGuest(async ({ guest }) => {
    await using container = await guest.createContainer(shell('bulk', 'cat'));
    const init = await container.start({ stdin: true });
    const data = randomBytes(8 << 20);
    const sent = pipeline([data], init.stdin ?? expect.unreachable());
    const received = await buffer(init.stdout ?? expect.unreachable());
    await sent;
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    expect(digest(received)).toBe(digest(data));
    expect(await init.exited).toBe(0);
  }));

test('exec, signals, processes, statistics and limits reach the container', () =>
  withGuest(async ({ guest }) => {
    await using container = await guest.createContainer(
      shell('busy', 'trap "echo got usr1; exit 9" USR1; echo ready; while :; do sleep 0.05; done'),
    );
    const init = await container.start();
    const output: string[] = [];
    for await (const chunk of init.stdout ?? expect.unreachable()) {
      output.push(String(chunk));
      if (output.length > 1) continue;
      expect((await container.processes()).map(({ pid }) => pid)).toContain(init.pid);
      await container.update({ pids: { limit: 50 } });
      expect(await container.stats()).toMatchObject({ pids: { limit: 50 } });
      const id = await container.exec(
        defaultProcess({ args: ['id', '-u'], user: { username: 'tester' } }),
      );
      expect(await text(id.stdout ?? nothing)).toBe('1000\n');
      expect(await id.exited).toBe(0);
      const sleeper = await container.exec(defaultProcess({ args: ['sleep', '1000'] }));
      await expect(sleeper.wait({ timeoutMs: 1 })).rejects.toMatchObject({ hresult: 0xc0370109 });
      expect(await sleeper.signal(15)).toBe(true);
      expect(await sleeper.wait({ timeoutMs: 30_000 })).toBe(143);
      expect(await sleeper.signal(15)).toBe(false);
      expect(await init.signal(10)).toBe(true);
    }
    expect(output.join('')).toBe('ready\ngot usr1\n');
    expect(await init.exited).toBe(9);
  }));

test('a terminal has its size, is resized and gets keys', () =>
  withGuest(async ({ guest }) => {
    await using container = await guest.createContainer(
      shell('tty', 'stty size; read x; stty size; echo "read $x"', {
        terminal: true,
        size: { width: 101, height: 31 },
      }),
    );
    const init = await container.start({ stdin: true });
    expect(init.stderr).toBeUndefined();
    let screen = '';
    for await (const chunk of init.stdout ?? expect.unreachable()) {
      screen += String(chunk);
      if (screen !== '31 101\r\n') continue;
      await init.resize({ width: 80, height: 24 });
      init.stdin?.write('keys\n');
    }
    expect(screen).toBe('31 101\r\nkeys\r\n24 80\r\nread keys\r\n');
    expect(await init.exited).toBe(0);
  }));

test('a process of the VM has its own variables and directory, and is signalled', () =>
  withGuest(async ({ guest }) => {
    const pwd = await guest.execInGuest({
      args: ['sh', '-c', 'echo "$A $(pwd)"'],
      env: { A: 'b' },
      cwd: '/usr',
    });
    expect(await text(pwd.stdout ?? nothing)).toBe('b /usr\n');
    expect(await pwd.exited).toBe(0);
    const sleeper = await guest.execInGuest({ args: ['sleep', '1000'] });
    expect(await sleeper.signal(9)).toBe(true);
    // The protocol's own way to say that a signal ended a process of the VM.
    expect([137, 0xffffffff]).toContain(await sleeper.exited);
  }));

test('a refused exec says why and leaves no listener and no connection', () =>
  withGuest(async ({ guest }) => {
    await using container = await guest.createContainer(shell('refuse', 'sleep 1000'));
    await container.start();
    const exec = container.exec(defaultProcess({ args: ['/no/such'] }), { stdin: true });
    await expect(exec).rejects.toMatchObject({
      name: 'GuestError',
      request: 'ExecuteProcess',
      hresultName: 'E_FAIL',
      message: expect.stringContaining('/no/such'),
    });
  }));

test('leaving the scope of a container ends what runs in it and deletes it', () =>
  withGuest(async ({ guest }) => {
    {
      await using container = await guest.createContainer(shell('scope', 'sleep 1000'));
      await container.start();
      await container.exec(defaultProcess({ args: ['sleep', '1000'] }));
    }
    await expect(guest.container('scope').processes()).rejects.toMatchObject({
      hresultName: 'HCS_E_SYSTEM_NOT_FOUND',
    });
  }));

test('a container that was never started is deleted', () =>
  withGuest(async ({ guest }) => {
    await using container = await guest.createContainer(shell('idle', 'true'));
    expect(await container.processes()).toHaveLength(1);
  }));

/** Of a guest that may be interpreted, where each takes seconds. */
const AT_ONCE = testVm === undefined ? 20 : 6;

test('many containers at once keep their streams and codes apart', () =>
  withGuest(async ({ guest }) => {
    const one = async (n: number): Promise<[string, number]> => {
      await using container = await guest.createContainer(
        shell(`many-${n}`, `read x; echo "$x from ${n}"; exit ${n}`),
      );
      const init = await container.start({ stdin: true });
      init.stdin?.end(`hello ${n}\n`);
      const output = await text(init.stdout ?? nothing);
      return [output, await init.exited];
    };
    const numbers = Array.from({ length: AT_ONCE }, (_, n) => n);
    expect(await Promise.all(numbers.map(one))).toEqual(
      numbers.map((n) => [`hello ${n} from ${n}\n`, n]),
    );
  }));

test('stdout that this host closes early ends the process by SIGPIPE', () =>
  withGuest(async ({ guest }) => {
    await using container = await guest.createContainer(shell('early', 'exec yes'));
    const init = await container.start({ stderr: false });
    for await (const _chunk of init.stdout ?? expect.unreachable()) break;
    expect([141, 1]).toContain(await init.exited);
  }));

test('the agent’s state is told as text', () =>
  withGuest(async ({ guest }) => {
    expect(await guest.dumpStacks()).not.toBe('');
  }));

testOutsideVm(
  'there a shutdown ends the VM: test/vm/power.test.ts',
  'a shutdown outside a VM ends the agent',
  async () => {
    await using agent = new AgentProcess();
    await using host = new EmulatedHost(agent.path);
    await using guest = await agent.orExit(GuestClient.accept(host, { timeoutMs: 30_000 }));
    await guest.shutdown('graceful');
    expect(guest.failure).toMatchObject({ code: 'lost' });
    await agent.exited;
  },
);

test('a second host takes over: containers stay, exits reach it', () =>
  withHost(async ({ accept }) => {
    const first = await accept();
    const container = await first.createContainer(shell('inherit', 'read x; exit 4'));
    const init = await container.start({ stdin: false, stdout: false, stderr: false });
    first.close();
    await expect(init.exited).rejects.toMatchObject({ code: 'closed' });
    await using second = await accept({ takesOver: true });
    // It reads end of file at once, so its exit may be told before this host knows it.
    const inherited = second.container('inherit').process(init.pid);
    expect(await inherited.exited).toBe(4);
    await second.container('inherit').delete();
  }));

testOutsideVm(
  'the agent there dials; test/vm/commands.test.ts has one that listens',
  'a guest that listens is dialed',
  async () => {
    await using agent = new AgentProcess({ args: ['-listen'] });
    await using host = new EmulatedHost(agent.path);
    const connect = async (): Promise<GuestClient> => {
      for (;;) {
        try {
          return await GuestClient.dial(host, { timeoutMs: 30_000 });
        } catch (error) {
          // The agent is still starting and does not listen yet; nothing tells when it will.
          if ((error as { code?: unknown }).code !== 'no-guest') throw error;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    };
    await using guest = await agent.orExit(connect());
    await using container = await guest.createContainer(shell('dialed', 'exit 3'));
    const init = await container.start({ stdout: false, stderr: false });
    expect(await init.exited).toBe(3);
  },
);
