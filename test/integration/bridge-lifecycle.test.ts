import { expect, test } from 'vitest';
import { NULL_CONTAINER, RAW, ZERO_ACTIVITY } from '../support/raw-client.ts';
import { firstData, negotiate, OutputSoFar, readAll } from '../support/raw-flows.ts';
import { bundleOf, shellProcess, spec, useRootfs, withSession } from '../support/suite.ts';

useRootfs();

const failsWith = (hresult: number, text?: string) =>
  expect.objectContaining({
    hresult,
    ...(text === undefined ? {} : { message: expect.stringContaining(text) }),
  });

test('negotiation answers version 4 and what the guest can do', () =>
  withSession(
    async ({ raw }) => {
      expect(await negotiate(raw.bridge)).toMatchObject({
        Result: 0,
        Version: 4,
        Capabilities: {
          SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
          RuntimeOsType: 'Linux',
          GuestDefinedCapabilities: {
            NamespaceAddRequestSupported: true,
            SignalProcessSupported: true,
            DumpStacksSupported: true,
            DeleteContainerStateSupported: true,
          },
        },
      });
    },
    { negotiate: false },
  ));

test('a container lives its whole life: stdin, stdout, stderr, exit code, notification', () =>
  withSession(async (s) => {
    await s.create('life', { args: 'read line; echo "out:$line"; echo err >&2; cat; exit 7' });
    await s.call(RAW.start, { ContainerId: 'life' });
    const init = await s.startInit('life', { stdin: true, stdout: true, stderr: true });
    init.stdin?.write('hello\nrest');
    init.stdin?.end();
    expect(await s.finish('life', init)).toEqual({
      exitCode: 7,
      stdout: 'out:hello\nrest',
      stderr: 'err\n',
    });
    const { body } = await s.notification('life');
    expect(body).toEqual({
      ContainerId: 'life',
      ActivityId: ZERO_ACTIVITY,
      Type: 'UnexpectedExit',
      Operation: 'None',
      Result: 0,
    });
    const order = s.bridge.received.map((m) => m.type);
    expect(order.indexOf(RAW.notification)).toBeGreaterThan(
      order.indexOf(((RAW.waitForProcess & 0x0fffffff) | 0x20000000) >>> 0),
    );
    // Init stays known until the container is deleted.
    expect(await s.wait('life', init.pid)).toBe(7);
    await s.delete('life');
    await expect(s.delete('life')).rejects.toThrow(failsWith(0xc037010e));
    expect(s.bridge.notifications).toHaveLength(1);
  }));

test.each([0, 1, 42, 127, 255])('exit code %i arrives as it is', (code) =>
  withSession(async (s) => {
    await s.create('code', { args: ['sh', '-c', `exit ${code}`] });
    const init = await s.startInit('code');
    expect((await s.finish('code', init)).exitCode).toBe(code);
    await s.delete('code');
  }));

test('a process killed by a signal exits with 128 + its number', () =>
  withSession(async (s) => {
    await s.create('sig', { args: ['sleep', '1000'] });
    const init = await s.startInit('sig');
    const child = await s.sh('sig', 'kill -USR1 $$');
    expect((await s.finish('sig', child)).exitCode).toBe(128 + 10);
    await s.signal('sig', init.pid);
    expect((await s.finish('sig', init)).exitCode).toBe(137);
    await s.delete('sig');
  }));

test.each([
  ['SIGTERM by SignalProcess', 'GracefulExit', 15, undefined],
  ['SIGKILL by SignalProcess', 'ForcedExit', 9, undefined],
  ['ShutdownGraceful', 'GracefulExit', undefined, RAW.shutdownGraceful],
  ['ShutdownForced', 'ForcedExit', undefined, RAW.shutdownForced],
])('the notification says how it ended: %s is %s', (_, type, signal, message) =>
  withSession(async (s) => {
    await s.create('how', {
      args: 'trap "exit 3" TERM; echo ready; while :; do sleep 1000 & wait; done',
    });
    const init = await s.startInit('how');
    await firstData(init.stdout);
    if (signal !== undefined) await s.signal('how', init.pid, signal);
    if (message !== undefined) await s.call(message, { ContainerId: 'how' });
    await s.finish('how', init);
    expect((await s.notification('how')).body.Type).toBe(type);
    // A stopped container cannot be shut down once more.
    await expect(s.call(RAW.shutdownForced, { ContainerId: 'how' })).rejects.toThrow(
      failsWith(0x80370110),
    );
    await s.delete('how');
  }));

test('exec runs beside init, in a created container too, with its own streams and code', () =>
  withSession(async (s) => {
    await s.create('ex', { args: ['cat'] });
    const early = await s.sh('ex', 'echo early; exit 3');
    expect(await s.finish('ex', early)).toMatchObject({ exitCode: 3, stdout: 'early\n' });
    const init = await s.startInit('ex', { stdin: true, stdout: true });
    const process = await s.sh('ex', 'cat; echo e >&2; exit 9', {
      stdin: true,
      stdout: true,
      stderr: true,
    });
    process.stdin?.end('in');
    expect(await s.finish('ex', process)).toEqual({ exitCode: 9, stdout: 'in', stderr: 'e\n' });
    // Waited for: the host has let go of it.
    await expect(s.wait('ex', process.pid)).rejects.toThrow(failsWith(0x80070490));
    init.stdin?.end();
    expect((await s.finish('ex', init)).exitCode).toBe(0);
    await expect(s.sh('ex', 'true')).rejects.toThrow(failsWith(0x80004005, 'stopped container'));
    await s.delete('ex');
  }));

test('exec runs as the user it names and with the limits of the container', () =>
  withSession(async (s) => {
    await s.create('user', { args: ['sleep', '1000'], user: { uid: 1000, gid: 1000 } });
    const init = await s.startInit('user');
    const named = await s.exec(
      'user',
      shellProcess('id -u; id -g', { user: { username: 'daemon' } }),
    );
    expect((await s.finish('user', named)).stdout).toBe('1\n1\n');
    const unknown = s.exec('user', shellProcess('id', { user: { username: 'nobody-here' } }));
    await expect(unknown).rejects.toThrow(/nobody-here/);
    await s.killAndDelete('user', init);
  }));

test('a wait ends with its timeout, another still gets the code, any number of them', () =>
  withSession(async (s) => {
    await s.create('wait', { args: ['cat'] });
    const init = await s.startInit('wait', { stdin: true });
    await expect(s.wait('wait', init.pid, 20)).rejects.toThrow(failsWith(0xc0370109));
    const waits = [1, 2, 3].map(() => s.wait('wait', init.pid));
    init.stdin?.end();
    expect(await Promise.all(waits)).toEqual([0, 0, 0]);
    init.stdin?.destroy();
    await s.delete('wait');
    await expect(s.wait('wait', init.pid)).rejects.toThrow(failsWith(0xc037010e));
  }));

test('waiting for init works before it is started', () =>
  withSession(async (s) => {
    await s.create('early', { args: ['sh', '-c', 'exit 6'] });
    const list = (await s.properties('early', ['ProcessList'])) as {
      ProcessList: { ProcessId: number }[];
    };
    const pid = list.ProcessList[0]?.ProcessId ?? 0;
    const waiting = s.wait('early', pid);
    const init = await s.startInit('early', {});
    expect(init.pid).toBe(pid);
    expect(await waiting).toBe(6);
    await s.delete('early');
  }));

test('signals: unknown pid, ended process and impossible numbers are told apart', () =>
  withSession(async (s) => {
    await s.create('s', { args: ['sleep', '1000'] });
    const init = await s.startInit('s');
    await expect(s.signal('s', 999_999, 15)).rejects.toThrow(failsWith(0x80070490));
    await expect(s.signal('none', init.pid, 15)).rejects.toThrow(failsWith(0xc037010e));
    await s.signal('s', init.pid, 9);
    await s.finish('s', init);
    await expect(s.signal('s', init.pid, 15)).rejects.toThrow(failsWith(0x80070490));
    await s.delete('s');
  }));

test('process list and statistics', () =>
  withSession(async (s) => {
    await s.create('stat', { args: 'sleep 1000 & echo both; wait' });
    const init = await s.startInit('stat');
    await firstData(init.stdout);
    const body = (await s.properties('stat', ['ProcessList', 'Statistics', 'Unheard'])) as {
      ProcessList: { ProcessId: number }[];
      LCOWMetrics: { memory: { usage: { usage: number } }; pids: { current: number }; cpu: object };
    };
    expect(body.ProcessList.map((p) => p.ProcessId)).toContain(init.pid);
    expect(body.ProcessList.length).toBeGreaterThanOrEqual(2);
    expect(body.LCOWMetrics.memory.usage.usage).toBeGreaterThan(0);
    expect(body.LCOWMetrics.pids.current).toBeGreaterThanOrEqual(2);
    expect(body.LCOWMetrics.cpu).toBeTypeOf('object');
    await s.killAndDelete('stat', init);
  }));

test('statistics nobody asked for while it ran are there until the container is deleted', () =>
  withSession(async (s) => {
    await s.create('late', { args: 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done' });
    const init = await s.startInit('late');
    await s.finish('late', init);
    const { LCOWMetrics } = (await s.properties('late', ['Statistics'])) as {
      LCOWMetrics: { cpu: { usage: { total: number } } };
    };
    expect(LCOWMetrics.cpu.usage.total).toBeGreaterThan(0);
    await s.delete('late');
  }));

test('the log says that it was memory that ended a container, and only then', () =>
  withSession(async (s) => {
    const memory = { limit: 16 * 1024 * 1024, swap: 16 * 1024 * 1024 };
    await s.create('greedy', { args: 'exec tail /dev/zero', resources: { memory } });
    const greedy = await s.startInit('greedy');
    expect((await s.finish('greedy', greedy)).exitCode).toBe(137);
    // Whether or not the host waits for anything else: it is told by the time the container is gone.
    await s.delete('greedy');
    await s.create('killed', { args: ['sleep', '1000'], resources: { memory } });
    const killed = await s.startInit('killed');
    await s.killAndDelete('killed', killed);

    const told = await s.raw.agent.logged('for memory');
    expect(told).toEqual([expect.stringMatching(/level=info.*kernel killed.*containerId=greedy/)]);
    expect(told[0]).toContain('kills=1');
  }));

test('resources of a running container are updated', () =>
  withSession(async (s) => {
    await s.create('upd', { args: ['sleep', '1000'] });
    const init = await s.startInit('upd');
    await s.call(RAW.modifySettings, {
      ContainerId: 'upd',
      Request: {
        RequestType: 'Update',
        ResourceType: 'ContainerConstraints',
        Settings: { Linux: { memory: { limit: 67_108_864 } } },
      },
    });
    const { LCOWMetrics } = (await s.properties('upd', ['Statistics'])) as {
      LCOWMetrics: { memory: { usage: { limit: number } } };
    };
    expect(LCOWMetrics.memory.usage.limit).toBe(67_108_864);
    await s.killAndDelete('upd', init);
  }));

test('a terminal: initial size, echo, resize, stderr and stdout as one', () =>
  withSession(async (s) => {
    await s.create('tty', {
      args: 'stty size; read x; stty size; echo "got $x" >&2; exit 4',
      terminal: true,
      consoleSize: { height: 30, width: 100 },
    });
    const init = await s.startInit('tty', { stdin: true, stdout: true });
    const output = new OutputSoFar(init.stdout);
    await output.contains('30 100\r\n');
    await s.call(RAW.resizeConsole, {
      ContainerId: 'tty',
      ProcessId: init.pid,
      Height: 40,
      Width: 90,
    });
    init.stdin?.write('word\n');
    expect(await s.wait('tty', init.pid)).toBe(4);
    init.stdin?.destroy();
    await output.contains('got word\r\n');
    expect(output.text).toBe('30 100\r\nword\r\n40 90\r\ngot word\r\n');
    // After the end a resize succeeds without effect.
    await s.call(RAW.resizeConsole, {
      ContainerId: 'tty',
      ProcessId: init.pid,
      Height: 1,
      Width: 1,
    });
    await s.delete('tty');
  }));

test('64-bit integers of the spec reach the runtime digit for digit', () =>
  withSession(async (s) => {
    const big = spec({ args: ['sleep', '1000'] }) as { [field: string]: unknown };
    big.annotations = { note: 'kept' };
    big['x-unknown'] = { limit: 18_446_744_073_709_551_615n, below: -9_223_372_036_854_775_808n };
    await s.createFrom('big', big);
    const config = await s.uvmSh(`cat ${bundleOf('big')}/config.json`);
    expect(config).toContain('"limit":18446744073709551615');
    expect(config).toContain('"below":-9223372036854775808');
    await s.delete('big');
  }));

test('a process of the VM: arguments, environment, directory, streams, code', () =>
  withSession(async (s) => {
    const process = await s.execInUvm(
      {
        CommandArgs: ['sh', '-c', 'pwd; env | sort; cat; exit 5'],
        WorkingDirectory: '/usr',
        Environment: { A: 'x y', PATH: '/usr/bin:/bin' },
      },
      { stdin: true, stdout: true },
    );
    process.stdin?.end('input');
    const { exitCode, stdout } = await s.finish(NULL_CONTAINER, process);
    expect(exitCode).toBe(5);
    expect(stdout.split('\n')).toEqual(
      expect.arrayContaining(['/usr', 'A=x y', 'PATH=/usr/bin:/bin']),
    );
    expect(stdout.endsWith('input')).toBe(true);
    const line = await s.execInUvm({ CommandLine: "echo 'one two' three" });
    expect((await s.finish(NULL_CONTAINER, line)).stdout).toBe('one two three\n');
  }));

test('a host that half-closes its side of stdout still gets the output', () =>
  withSession(async (s) => {
    await s.create('half', { args: 'read x; echo late' });
    const init = await s.startInit('half', { stdin: true, stdout: true });
    init.stdout?.end();
    init.stdin?.end('go\n');
    const output = readAll(init.stdout);
    expect(await s.wait('half', init.pid)).toBe(0);
    expect(await output).toBe('late\n');
    init.stdin?.destroy();
    await s.delete('half');
  }));
