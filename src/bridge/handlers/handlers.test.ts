import { describe, expect, test } from 'vitest';
import { NULL_CONTAINER, RAW } from '../../../test/support/raw-client.ts';
import { emptyMetrics } from '../../cgroup/metrics.ts';
import { AgentError } from '../../errors.ts';
import { ask, textOf } from '../testing/ask.ts';
import { FakeUvm } from '../testing/fake-uvm.ts';
import { BridgeSession, body, hresult } from '../testing/session.ts';

describe('Create', () => {
  const version = { Major: 2, Minor: 1 };
  const spec =
    '{"ociVersion":"1.0.2","process":{"args":["a"],"rlimits":[{"type":"R","hard":18446744073709551615,"soft":0}],"x":null},"linux":{"resources":{"memory":{"limit":9223372036854771712}}},"new":{"deep":18446744073709551615}}';
  const create = (config: string): object => body('c', { ContainerConfig: config });

  test('hands the specification on digit for digit, what is unknown with it', async () => {
    const config = `{"SchemaVersion":{"Major":2,"Minor":1},"OciBundlePath":"/b","OciSpecification":${spec},"ScratchDirPath":"/s"}`;
    const { reply, calls } = await ask(RAW.create, create(config));
    expect(reply.body).toMatchObject({ Result: 0, SelectedProtocolVersion: 0 });
    expect(calls).toEqual([
      [
        'createContainer',
        {
          id: 'c',
          bundle: '/b',
          scratchDir: '/s',
          spec: {
            ociVersion: '1.0.2',
            process: {
              args: ['a'],
              rlimits: [{ type: 'R', hard: 18446744073709551615n, soft: 0 }],
              x: null,
            },
            linux: { resources: { memory: { limit: 9223372036854771712n } } },
            new: { deep: 18446744073709551615n },
          },
        },
      ],
    ]);
  });

  test.each([
    [{ Major: 2, Minor: 0 }, '0xc037010d'],
    [{ Major: 1, Minor: 9 }, '0xc037010d'],
    [undefined, '0xc037010d'],
    [{ Major: 2, Minor: 2 }, '0x0'],
    [{ Major: 3, Minor: 0 }, '0x0'],
  ])('schema version %j is %s', async (SchemaVersion, result) => {
    const config = {
      SchemaVersion,
      OciBundlePath: '/b',
      OciSpecification: { process: {}, linux: {} },
    };
    const { reply } = await ask(RAW.create, create(JSON.stringify(config)));
    expect(hresult(reply)).toBe(result);
    if (result !== '0x0') expect(textOf(reply)).toContain('invalid schema version');
  });

  test('the null container cannot be created', async () => {
    const config = JSON.stringify({
      SchemaVersion: version,
      OciBundlePath: '/b',
      OciSpecification: { process: {}, linux: {} },
    });
    const { reply, calls } = await ask(
      RAW.create,
      body(NULL_CONTAINER, { ContainerConfig: config }),
    );
    expect(hresult(reply)).toBe('0x80070057');
    expect(calls).toEqual([]);
  });

  test('errors of the VM have their numbers', async () => {
    const uvm = new FakeUvm({
      createContainer: () => Promise.reject(new AgentError('container-exists', 'c is taken')),
    });
    const config = JSON.stringify({
      SchemaVersion: version,
      OciBundlePath: '/b',
      OciSpecification: { process: {}, linux: {} },
    });
    const { reply } = await ask(RAW.create, create(config), uvm);
    expect(hresult(reply)).toBe('0xc037010f');
    expect(textOf(reply)).toBe('HRESULT 0xc037010f: c is taken');
  });
});

describe('Start, Shutdown, Delete', () => {
  test('Start succeeds for a container nobody knows', async () => {
    const { reply, calls } = await ask(RAW.start, body('unknown'));
    expect(reply.body.Result).toBe(0);
    expect(calls).toEqual([]);
  });

  test.each([
    [RAW.shutdownGraceful, 'graceful'],
    [RAW.shutdownForced, 'forced'],
  ])('Shutdown of a container', async (type, how) => {
    const { reply, calls } = await ask(type, body('c'));
    expect(reply.body.Result).toBe(0);
    expect(calls).toEqual([['shutdownContainer', 'c', how]]);
  });

  test('Shutdown of the VM is not answered', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    host.request(RAW.shutdownForced, body(NULL_CONTAINER)).catch(() => {});
    await host.call(RAW.start, body('c'));
    expect(uvm.calls).toEqual([['shutdownUvm', 'forced']]);
    expect(host.pending).toBe(1);
  });

  test('Delete of the VM is not known', async () => {
    const { reply, calls } = await ask(RAW.deleteContainerState, body(NULL_CONTAINER));
    expect(hresult(reply)).toBe('0xc037010e');
    expect(calls).toEqual([]);
  });
});

describe('ExecuteProcess', () => {
  const execute = (id: string, parameters: object, ports: object | undefined = {}): object =>
    body(id, {
      Settings: {
        ProcessParameters: JSON.stringify(parameters),
        VsockStdioRelaySettings: ports,
      },
    });
  const pipes = { CreateStdInPipe: true, CreateStdOutPipe: true, CreateStdErrPipe: true };

  test('without OciProcess it starts the init of a container', async () => {
    const ports = { StdIn: 1073741825, StdOut: 1073741826, StdErr: 4294967294 };
    const { reply, calls } = await ask(RAW.executeProcess, execute('c', pipes, ports));
    expect(reply.body).toMatchObject({ Result: 0, ProcessId: 100 });
    expect(calls).toEqual([
      ['startInit', 'c', { stdin: 1073741825, stdout: 1073741826, stderr: 4294967294 }],
    ]);
  });

  test('with OciProcess it runs another process, of which unknown fields are kept', async () => {
    const OciProcess = {
      args: ['a'],
      terminal: true,
      consoleSize: { height: 30, width: 100 },
      apparmorProfile: 'p',
    };
    const { reply, calls } = await ask(
      RAW.executeProcess,
      execute('c', { OciProcess, CreateStdOutPipe: true }, { StdOut: 7 }),
    );
    expect(reply.body.ProcessId).toBe(101);
    expect(calls).toEqual([['exec', 'c', OciProcess, { stdout: 7 }]]);
  });

  test.each([
    [{}, { StdIn: 1, StdOut: 2, StdErr: 3 }, {}],
    [{ CreateStdOutPipe: true }, {}, { stdout: 0 }],
    [{ CreateStdOutPipe: true }, undefined, { stdout: 0 }],
    [pipes, { StdErr: 5 }, { stdin: 0, stdout: 0, stderr: 5 }],
  ])('the flag decides, not the port: %j with %j', async (flags, ports, expected) => {
    const { calls } = await ask(RAW.executeProcess, execute('c', flags, ports));
    expect(calls).toEqual([['startInit', 'c', expected]]);
  });

  test.each([
    [-1, '0xc037010d'],
    [4294967296, '0xc037010d'],
    [4294967295, '0x80070057'],
    ['7', '0xc037010d'],
  ])('port %j is none', async (StdOut, result) => {
    const { reply, calls } = await ask(
      RAW.executeProcess,
      execute('c', { CreateStdOutPipe: true }, { StdOut }),
    );
    expect(hresult(reply)).toBe(result);
    expect(textOf(reply)).toContain('Settings.VsockStdioRelaySettings');
    expect(calls).toEqual([]);
  });

  test('in the null container it runs a process of the VM', async () => {
    const parameters = {
      CommandArgs: ['sh', '-c', 'true'],
      CommandLine: 'not this',
      WorkingDirectory: '/tmp',
      Environment: { A: '1', B: '' },
      EmulateConsole: true,
      ConsoleSize: [30, 100],
      CreateStdInPipe: true,
    };
    const { reply, calls } = await ask(
      RAW.executeProcess,
      execute(NULL_CONTAINER, parameters, { StdIn: 9 }),
    );
    expect(reply.body.ProcessId).toBe(102);
    expect(calls).toEqual([
      [
        'execInUvm',
        {
          args: ['sh', '-c', 'true'],
          cwd: '/tmp',
          env: { A: '1', B: '' },
          terminal: true,
          size: { height: 30, width: 100 },
          ports: { stdin: 9 },
        },
      ],
    ]);
  });

  test('CreateInUtilityVM makes it one of the VM too, CommandLine is split as a shell does', async () => {
    const parameters = { CreateInUtilityVM: true, CommandLine: `sh -c 'echo "a b"'` };
    const { calls } = await ask(RAW.executeProcess, execute('c', parameters));
    expect(calls).toEqual([
      ['execInUvm', { args: ['sh', '-c', 'echo "a b"'], env: {}, terminal: false, ports: {} }],
    ]);
  });

  test.each([
    [{ CommandLine: `sh 'open` }, 'Settings.ProcessParameters.CommandLine'],
    [{ CommandArgs: ['a\0b'] }, 'Settings.ProcessParameters.CommandArgs'],
    [
      { CommandArgs: ['a'], WorkingDirectory: '/\0' },
      'Settings.ProcessParameters.WorkingDirectory',
    ],
    [{ CommandArgs: ['a'], Environment: { 'A=B': '' } }, 'Settings.ProcessParameters.Environment'],
    [{ CommandArgs: ['a'], Environment: { '': 'x' } }, 'Settings.ProcessParameters.Environment'],
    [{ CommandArgs: ['a'], Environment: { A: '\0' } }, 'Settings.ProcessParameters.Environment'],
    [{ CommandArgs: ['a'], ConsoleSize: [1] }, 'Settings.ProcessParameters.ConsoleSize'],
  ])('%j is refused with the name of the field', async (parameters, field) => {
    const { reply, calls } = await ask(RAW.executeProcess, execute(NULL_CONTAINER, parameters));
    expect(hresult(reply)).toBe('0x80070057');
    expect(textOf(reply)).toContain(field);
    expect(calls).toEqual([]);
  });

  test('a wrong type is named with its path', async () => {
    const { reply } = await ask(
      RAW.executeProcess,
      execute('c', { OciProcess: { args: ['a', 'b', 3] } }),
    );
    expect(hresult(reply)).toBe('0xc037010d');
    expect(textOf(reply)).toContain(
      'ProcessParameters.OciProcess.args[2]: expected string, found number',
    );
  });
});

describe('WaitForProcess, SignalProcess, ResizeConsole', () => {
  test.each([
    [4294967295, undefined],
    [4294967294, 4294967294],
    [0, 0],
    [undefined, 0],
  ])('timeout %j', async (TimeoutInMs, expected) => {
    const { reply, calls } = await ask(
      RAW.waitForProcess,
      body('c', { ProcessId: 3, TimeoutInMs }),
    );
    expect(reply.body).toMatchObject({ Result: 0, ExitCode: 0 });
    expect(calls).toEqual([['wait', 'c', 3, expected]]);
  });

  test('a timeout has its number', async () => {
    const uvm = new FakeUvm({ wait: () => Promise.reject(new AgentError('wait-timeout', 'late')) });
    const { reply } = await ask(RAW.waitForProcess, body('c', { ProcessId: 3 }), uvm);
    expect(hresult(reply)).toBe('0xc0370109');
  });

  test.each([
    [{ Signal: 15 }, 15],
    [{ Signal: 64 }, 64],
    [{ Signal: 0 }, 9],
    [{}, 9],
    [null, 9],
    [undefined, 9],
  ])('options %j', async (Options, expected) => {
    const { reply, calls } = await ask(RAW.signalProcess, body('c', { ProcessId: 3, Options }));
    expect(reply.body.Result).toBe(0);
    expect(calls).toEqual([['signal', 'c', 3, expected]]);
  });

  test('the size of a terminal', async () => {
    const { calls } = await ask(
      RAW.resizeConsole,
      body('c', { ProcessId: 3, Height: 65535, Width: 100 }),
    );
    expect(calls).toEqual([['resize', 'c', 3, { height: 65535, width: 100 }]]);
  });

  test('what is no terminal cannot be resized', async () => {
    const text = 'pid: 3, is not a tty and cannot be resized';
    const uvm = new FakeUvm({
      resize: () => Promise.reject(new AgentError('not-a-terminal', text)),
    });
    const { reply } = await ask(RAW.resizeConsole, body('c', { ProcessId: 3 }), uvm);
    expect(hresult(reply)).toBe('0x80004005');
    expect(textOf(reply)).toBe(text);
  });
});

describe('GetProperties', () => {
  const query = (types: string[]): object =>
    body('c', { Query: JSON.stringify({ PropertyTypes: types }) });

  test.each([
    {},
    { Query: '' },
    { Query: '{}' },
    { Query: '{"PropertyTypes":["Other"]}' },
  ])('%j asks for nothing', async (fields) => {
    const { reply, calls } = await ask(RAW.getProperties, body('c', fields));
    expect(reply.body.Properties).toBe('{}');
    expect(calls).toEqual([]);
  });

  test('processes', async () => {
    const uvm = new FakeUvm({ processes: async () => [{ pid: 1 }, { pid: 4294967295 }] });
    const { reply } = await ask(RAW.getProperties, query(['ProcessList']), uvm);
    expect(reply.body.Properties).toBe(
      '{"ProcessList":[{"ProcessId":1},{"ProcessId":4294967295}]}',
    );
  });

  test('statistics: 64 bits exact, no zeros, empty objects present', async () => {
    const metrics = {
      ...emptyMetrics(),
      pids: { current: 2n, limit: 0n },
      memory_oom_control: { oom_kill_disable: 0n, under_oom: 0n, oom_kill: 0n },
    };
    const uvm = new FakeUvm({
      statistics: async () => ({ ...metrics, pids: { current: 9223372036854771712n, limit: 0n } }),
    });
    const { reply } = await ask(RAW.getProperties, query(['Statistics']), uvm);
    expect(reply.body.Properties).toBe(
      '{"LCOWMetrics":{"pids":{"current":9223372036854771712},"memory_oom_control":{}}}',
    );
  });

  test('a bad query', async () => {
    const { reply } = await ask(RAW.getProperties, body('c', { Query: '{"PropertyTypes":[1]}' }));
    expect(hresult(reply)).toBe('0xc037010d');
    expect(textOf(reply)).toContain('Query.PropertyTypes[0]');
  });

  test('the VM has none', async () => {
    const { reply } = await ask(RAW.getProperties, body(NULL_CONTAINER, { Query: '{}' }));
    expect(hresult(reply)).toBe('0x80004005');
    expect(textOf(reply)).toBe('getPropertiesV2 is not supported against the UVM');
  });
});

describe('DumpStacks', () => {
  test('tells of the bridge, the event loop and the VM', async () => {
    const { reply } = await ask(RAW.dumpStacks, body(NULL_CONTAINER));
    const text = String(reply.body.GuestStacks);
    for (const part of [
      'bridge: negotiated',
      'pending requests: 1',
      '#1 DumpStacks (0x10100c01)',
      'event loop',
      'active: ',
      'containers\n  none',
    ]) {
      expect(text).toContain(part);
    }
  });
});
