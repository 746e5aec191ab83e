import { once } from 'node:events';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  FakeGuest,
  type FakeRequest,
  FIRST_STDIO_PORT,
  MemoryTransport,
} from '../../test/support/fake-guest.ts';
import { MessageType } from '../bridge/message-types.ts';
import { GuestClient } from './guest.ts';
import { defaultSpec } from './spec.ts';

const NOT_FOUND = { Result: -2147023728, ErrorMessage: 'no such process' };
const spec = defaultSpec({ args: ['true'], rootfs: '/rootfs' });
const nothing = Readable.from([]);
const create = { id: 'c1', bundle: '/run/gcs/c/c1', spec };

let guest: FakeGuest;
let transport: MemoryTransport;
let client: GuestClient;

beforeEach(async () => {
  guest = new FakeGuest();
  transport = new MemoryTransport();
  client = await GuestClient.over(guest.hostStream, { transport });
  guest.on(MessageType.Create, () => ({ SelectedProtocolVersion: 0 }));
  guest.on(MessageType.Start, () => ({}));
  guest.on(MessageType.DeleteContainerState, () => ({}));
});

afterEach(() => {
  vi.useRealTimers();
  expect(transport.listening.size, 'listeners left open').toBe(0);
  client.close();
});

interface Execution {
  parameters: Record<string, unknown>;
  ports: { StdIn?: number; StdOut?: number; StdErr?: number };
}

function execution(request: FakeRequest): Execution {
  const settings = request.body.Settings as Record<string, unknown>;
  return {
    parameters: JSON.parse(settings.ProcessParameters as string) as Record<string, unknown>,
    ports: settings.VsockStdioRelaySettings as Execution['ports'],
  };
}

/** Dials every stream the request names, as a guest does before it replies. */
function dialAll(request: FakeRequest) {
  const { StdIn, StdOut, StdErr } = execution(request).ports;
  const dial = (port?: number) => (port === undefined ? undefined : transport.connect(port));
  return { stdin: dial(StdIn), stdout: dial(StdOut), stderr: dial(StdErr) };
}

describe('creating a container', () => {
  it('sends bundle, specification and schema version 2.1 as JSON in a string', async () => {
    await client.createContainer({ ...create, scratchDir: '/scratch' });
    const request = await guest.request(MessageType.Create);
    expect(request.body.ContainerId).toBe('c1');
    expect(JSON.parse(request.body.ContainerConfig as string)).toEqual({
      SchemaVersion: { Major: 2, Minor: 1 },
      OciBundlePath: '/run/gcs/c/c1',
      OciSpecification: spec,
      ScratchDirPath: '/scratch',
    });
  });

  it('knows the container before the reply, which an exit may overtake', async () => {
    guest.on(MessageType.Create, () => {
      guest.notify('c1');
      return {};
    });
    const container = await client.createContainer(create);
    await expect(container.exited).resolves.toMatchObject({ type: 'UnexpectedExit' });
  });

  it('of a name that was used before waits for the new one’s exit', async () => {
    const first = await client.createContainer(create);
    guest.notify('c1', { Type: 'GracefulExit' });
    await expect(first.exited).resolves.toMatchObject({ type: 'GracefulExit' });
    const second = await client.createContainer(create);
    guest.notify('c1', { Type: 'ForcedExit' });
    await expect(second.exited).resolves.toMatchObject({ type: 'ForcedExit' });
  });
});

describe('starting a process', () => {
  it('listens on a new port per stream before the request and takes one connection each', async () => {
    guest.on(MessageType.ExecuteProcess, (request) => {
      const streams = dialAll(request);
      streams.stdout?.end('out');
      streams.stderr?.end('err');
      void text(streams.stdin ?? nothing).then((input) =>
        guest.notify('c1', { ActivityId: input }),
      );
      return { ProcessId: 42 };
    });
    guest.on(MessageType.WaitForProcess, () => undefined);
    const container = await client.createContainer(create);
    const init = await container.start({ stdin: true });
    expect(init.pid).toBe(42);
    expect(transport.ports).toEqual([0, 1, 2].map((n) => FIRST_STDIO_PORT + n));
    expect(transport.listening.size).toBe(0);
    expect(await text(init.stdout ?? nothing)).toBe('out');
    expect(await text(init.stderr ?? nothing)).toBe('err');
    init.stdin?.write('00000000-0000-0000-0000-');
    init.stdin?.write('00000000abcd');
    await init.closeStdin();
    await expect(container.exited).resolves.toMatchObject({
      activityId: '00000000-0000-0000-0000-00000000abcd',
    });
  });

  it('sends Start, then ExecuteProcess without a process, then waits for it without a limit', async () => {
    guest.on(MessageType.ExecuteProcess, () => ({ ProcessId: 42 }));
    const container = await client.createContainer(create);
    await container.start({ stdout: false, stderr: false });
    const wait = await guest.request(MessageType.WaitForProcess);
    expect(guest.requests.map((request) => request.type)).toEqual([
      MessageType.Create,
      MessageType.Start,
      MessageType.ExecuteProcess,
      MessageType.WaitForProcess,
    ]);
    const { parameters, ports } = execution(guest.requests[2] as FakeRequest);
    expect(parameters).toEqual({});
    expect(ports).toEqual({});
    expect(wait.body).toMatchObject({ ContainerId: 'c1', ProcessId: 42, TimeoutInMs: 0xffffffff });
  });

  it('asks for no stderr when the process has a terminal', async () => {
    guest.on(MessageType.ExecuteProcess, (request) => {
      dialAll(request);
      return { ProcessId: 42 };
    });
    const process = { args: ['sh'], terminal: true };
    const running = await client.container('c1').exec(process, { stdin: true });
    const { parameters } = execution(await guest.request(MessageType.ExecuteProcess));
    expect(parameters).toEqual({
      CreateStdInPipe: true,
      CreateStdOutPipe: true,
      OciProcess: process,
    });
    expect(running.stderr).toBeUndefined();
  });

  it('steps over a port that another host holds', async () => {
    transport.taken.add(FIRST_STDIO_PORT);
    guest.on(MessageType.ExecuteProcess, (request) => {
      dialAll(request);
      return { ProcessId: 42 };
    });
    await client.container('c1').exec({ args: ['x'] }, { stderr: false });
    expect(transport.ports).toEqual([FIRST_STDIO_PORT + 1]);
  });

  it('that the guest refuses closes listeners and connections', async () => {
    const dialed: ReturnType<typeof dialAll>[] = [];
    guest.on(MessageType.ExecuteProcess, (request) => {
      dialed.push(dialAll(request));
      return { Result: -2147467259, ErrorMessage: 'no such file' };
    });
    const exec = client.container('c1').exec({ args: ['x'] }, { stdin: true });
    await expect(exec).rejects.toThrow('no such file');
    expect(transport.listening.size).toBe(0);
    const [streams] = dialed;
    await Promise.all(
      [streams?.stdin, streams?.stdout, streams?.stderr].map(async (stream) => {
        if (stream && !stream.readableEnded) await once(stream.resume(), 'end');
      }),
    );
  });

  it('that is cancelled closes the listeners', async () => {
    const abort = new AbortController();
    const exec = client.container('c1').exec({ args: ['x'] }, {}, { signal: abort.signal });
    await guest.request(MessageType.ExecuteProcess);
    abort.abort(new Error('enough'));
    await expect(exec).rejects.toThrow('enough');
    expect(transport.listening.size).toBe(0);
  });

  it('that the guest reports as started without dialing its streams ends the bridge', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    guest.on(MessageType.ExecuteProcess, (request) => {
      transport.connect(execution(request).ports.StdOut ?? 0);
      return { ProcessId: 42 };
    });
    const exec = client.container('c1').exec({ args: ['x'] });
    const failed = expect(exec).rejects.toThrow('without dialing its stderr');
    await guest.request(MessageType.ExecuteProcess);
    await new Promise(setImmediate);
    await vi.advanceTimersByTimeAsync(5000);
    await failed;
    expect(client.failure).toMatchObject({ code: 'protocol' });
  });

  it('over a bare connection is refused when it has streams', async () => {
    const bare = new FakeGuest();
    const other = await GuestClient.over(bare.hostStream);
    await expect(other.container('c1').exec({ args: ['x'] })).rejects.toMatchObject({
      code: 'invalid-request',
    });
    other.close();
  });
});

describe('a process', () => {
  const exec = async (streams = {}) => {
    guest.on(MessageType.ExecuteProcess, (request) => {
      dialAll(request);
      return { ProcessId: 42 };
    });
    return await client
      .container('c1')
      .exec({ args: ['x'] }, { stdout: false, stderr: false, ...streams });
  };

  it('tells its exit code to everybody who asks, before and after', async () => {
    const process = await exec();
    const waits = [process.exited, process.wait()];
    expect(process.exitCode).toBeUndefined();
    guest.reply(await guest.request(MessageType.WaitForProcess), { ExitCode: 137 });
    expect(await Promise.all(waits)).toEqual([137, 137]);
    expect(await process.wait({ timeoutMs: 1 })).toBe(137);
    expect(process.exitCode).toBe(137);
    expect(guest.requests.filter((r) => r.type === MessageType.WaitForProcess)).toHaveLength(1);
  });

  it('is waited for with a limit by the guest, whose timeout is an error', async () => {
    const process = await exec();
    guest.on(MessageType.WaitForProcess, (request) =>
      request.body.TimeoutInMs === 250 ? { Result: -1070137079 } : undefined,
    );
    await expect(process.wait({ timeoutMs: 249.5 })).rejects.toMatchObject({
      hresult: 0xc0370109,
      hresultName: 'HCS_E_OPERATION_TIMEOUT',
    });
  });

  it('that was forgotten under a limited wait has the code of the first wait', async () => {
    const process = await exec();
    const first = await guest.request(MessageType.WaitForProcess);
    guest.on(MessageType.WaitForProcess, () => NOT_FOUND);
    const limited = process.wait({ timeoutMs: 1000 });
    while (guest.requests.filter((r) => r.type === first.type).length < 2) {
      await new Promise(setImmediate);
    }
    guest.reply(first, { ExitCode: 3 });
    expect(await limited).toBe(3);
  });

  it('stops being waited for when the signal says so, and is still there', async () => {
    const process = await exec();
    const abort = new AbortController();
    const waiting = process.wait({ signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    guest.reply(await guest.request(MessageType.WaitForProcess), { ExitCode: 0 });
    expect(await process.exited).toBe(0);
  });

  it('gets signals by number, and says whether it was still there', async () => {
    const process = await exec();
    guest.on(MessageType.SignalProcess, () => ({}));
    expect(await process.signal(10)).toBe(true);
    const request = await guest.request(MessageType.SignalProcess);
    expect(request.body).toMatchObject({ ProcessId: 42, Options: { Signal: 10 } });
    guest.on(MessageType.SignalProcess, () => NOT_FOUND);
    expect(await process.signal(10)).toBe(false);
  });

  it('is resized in rows and columns', async () => {
    const process = await exec();
    guest.on(MessageType.ResizeConsole, () => ({}));
    await process.resize({ width: 100, height: 30 });
    const request = await guest.request(MessageType.ResizeConsole);
    expect(request.body).toMatchObject({ ProcessId: 42, Height: 30, Width: 100 });
  });

  it('that still runs is killed and waited for when disposed of', async () => {
    guest.on(MessageType.SignalProcess, (request) => {
      expect(request.body.Options).toEqual({ Signal: 9 });
      const wait = guest.requests.find((r) => r.type === MessageType.WaitForProcess);
      guest.reply(wait as FakeRequest, { ExitCode: 137 });
      return {};
    });
    const process = await exec({ stdin: true, stdout: true });
    await process[Symbol.asyncDispose]();
    expect(process.exitCode).toBe(137);
    expect(process.stdin?.destroyed).toBe(true);
    expect(process.stdout?.destroyed).toBe(true);
  });

  it('has its streams broken off with the bridge', async () => {
    const process = await exec({ stdout: true });
    const reading = text(process.stdout ?? nothing);
    guest.close();
    await expect(reading).rejects.toMatchObject({ name: 'BridgeError', code: 'lost' });
    await expect(process.exited).rejects.toMatchObject({ code: 'lost' });
    await process[Symbol.asyncDispose]();
  });

  it('of the VM is named by the null container and gets argv, variables and directory', async () => {
    guest.on(MessageType.ExecuteProcess, () => ({ ProcessId: 7 }));
    const process = await client.execInGuest({
      args: ['ls', '-l'],
      env: { A: 'b' },
      cwd: '/tmp',
      terminal: true,
      size: { width: 80, height: 24 },
      stdout: false,
    });
    const request = await guest.request(MessageType.ExecuteProcess);
    expect(request.body.ContainerId).toBe('00000000-0000-0000-0000-000000000000');
    expect(execution(request).parameters).toEqual({
      CommandArgs: ['ls', '-l'],
      WorkingDirectory: '/tmp',
      Environment: { A: 'b' },
      EmulateConsole: true,
      ConsoleSize: [24, 80],
    });
    expect(process.containerId).toBeNull();
  });
});

describe('a container', () => {
  it('is shut down, and says when there was nothing to shut down', async () => {
    const container = client.container('c1');
    guest.on(MessageType.ShutdownGraceful, () => ({}));
    expect(await container.shutdown('graceful')).toBe(true);
    for (const Result of [-1070137074, -2143878896]) {
      guest.on(MessageType.ShutdownForced, () => ({ Result }));
      expect(await container.shutdown('forced')).toBe(false);
    }
    guest.on(MessageType.ShutdownForced, () => ({ Result: -2147467259 }));
    await expect(container.shutdown('forced')).rejects.toMatchObject({ hresultName: 'E_FAIL' });
  });

  it('lists its processes and statistics from JSON in a string', async () => {
    guest.on(MessageType.GetProperties, (request) => {
      const { PropertyTypes } = JSON.parse(request.body.Query as string) as Record<
        string,
        string[]
      >;
      return PropertyTypes?.[0] === 'ProcessList'
        ? { Properties: '{"ProcessList":[{"ProcessId":5},{"ProcessId":6}]}' }
        : { Properties: '{"LCOWMetrics":{"pids":{"current":2}}}' };
    });
    const container = client.container('c1');
    expect(await container.processes()).toEqual([{ pid: 5 }, { pid: 6 }]);
    expect(await container.stats()).toEqual({ pids: { current: 2 } });
  });

  it('that was created here is deleted when disposed of, once', async () => {
    {
      await using container = await client.createContainer(create);
      await container.delete();
    }
    {
      await using _container = await client.createContainer(create);
    }
    const deletes = guest.requests.filter((r) => r.type === MessageType.DeleteContainerState);
    expect(deletes).toHaveLength(2);
  });

  it('of an earlier host is left alone when disposed of', async () => {
    {
      await using _container = client.container('c1');
    }
    guest.on(MessageType.DumpStacks, () => ({ GuestStacks: '' }));
    await client.dumpStacks();
    expect(guest.requests.map((r) => r.type)).toEqual([MessageType.DumpStacks]);
  });
});

describe('notifications', () => {
  it('come to every iterator from its start on, and end with the bridge', async () => {
    client.container('c1');
    client.container('c2');
    const early = client.notifications();
    guest.notify('c1');
    expect((await early.next()).value).toMatchObject({ containerId: 'c1' });
    const late = client.notifications();
    guest.notify('c2', { Type: 'ForcedExit' });
    for (const iterator of [early, late]) {
      expect((await iterator.next()).value).toMatchObject({
        containerId: 'c2',
        type: 'ForcedExit',
      });
    }
    const waiting = early.next();
    guest.close();
    await expect(waiting).rejects.toMatchObject({ code: 'lost' });
  });

  it('end without an error when their signal says so', async () => {
    const abort = new AbortController();
    const waiting = client.notifications({ signal: abort.signal }).next();
    abort.abort();
    expect(await waiting).toEqual({ done: true, value: undefined });
  });

  it('wait for nobody who has left, also before the first', async () => {
    const left = client.notifications();
    await left.return?.();
    client.container('c1');
    const [first, second] = [client.notifications(), client.notifications()];
    const both = [first.next(), first.next()];
    guest.notify('c1');
    expect((await second.next()).value).toMatchObject({ containerId: 'c1' });
    expect((await both[0])?.value).toMatchObject({ containerId: 'c1' });
    await first.return?.();
    expect(await both[1]).toEqual({ done: true, value: undefined });
    expect(await left.next()).toEqual({ done: true, value: undefined });
  });

  it('after a delete are a breach when they were told before, and none when they were not', async () => {
    const container = await client.createContainer(create);
    await container.delete();
    guest.notify('c1');
    await container.exited;
    expect(client.failure).toBeUndefined();
    guest.notify('c1');
    expect(await client.ended).toMatchObject({ code: 'protocol' });
  });

  it('of an earlier host’s containers are delivered to one that takes over', async () => {
    const other = new FakeGuest();
    const next = await GuestClient.over(other.hostStream, { takesOver: true });
    const exits = next.notifications();
    other.notify('stranger');
    expect((await exits.next()).value).toMatchObject({ containerId: 'stranger' });
    expect(next.failure).toBeUndefined();
    next.close();
  });
});

describe('shutting the VM down', () => {
  it('is done when the guest closes the bridge', async () => {
    guest.on(MessageType.ShutdownForced, () => {
      guest.close();
      return undefined;
    });
    await client.shutdown('forced');
    expect((await guest.request(MessageType.ShutdownForced)).body.ContainerId).toMatch(/^0+-/);
  });

  it('that the guest refuses rejects', async () => {
    guest.on(MessageType.ShutdownGraceful, () => ({ Result: -2147467259, ErrorMessage: 'no' }));
    await expect(client.shutdown('graceful')).rejects.toThrow('no');
  });
});
