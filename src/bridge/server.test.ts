import { describe, expect, test } from 'vitest';
import { RAW, type RawBridge, rawFrame } from '../../test/support/raw-client.ts';
import { TransportError } from '../vsock/transport.ts';
import { FakeProcesses, FakeUvm } from './testing/fake-uvm.ts';
import { BridgeSession, body, negotiate } from './testing/session.ts';

const forever = { TimeoutInMs: 0xffffffff };
const hresult = (reply: { body: Record<string, unknown> }): string =>
  `0x${(Number(reply.body.Result) >>> 0).toString(16)}`;

/** Resolves when the agent has handled all that was sent before. */
async function settled(bridge: RawBridge): Promise<void> {
  await bridge.call(RAW.start, body('c'));
}

describe('negotiation', () => {
  test.each([
    [4, 4],
    [0, 4],
    [4, 9],
  ])('%i to %i is version 4', async (min, max) => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.connection();
    const reply = await host.call(RAW.negotiate, {
      ContainerId: '',
      MinimumVersion: min,
      MaximumVersion: max,
    });
    expect(reply.body).toMatchObject({ Version: 4, Capabilities: { RuntimeOsType: 'Linux' } });
    expect(reply.type).toBe(0x20100b01);
  });

  test.each([
    [5, 9],
    [0, 3],
    [0, 0],
  ])('%i to %i has no version in common, and the host may try again', async (min, max) => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.connection();
    const reply = await host.request(RAW.negotiate, { MinimumVersion: min, MaximumVersion: max });
    expect(hresult(reply)).toBe('0xc037010c');
    await negotiate(host);
    await settled(host);
  });

  test('anything before it is not supported', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.connection();
    const reply = await host.request(RAW.create, body('c'));
    expect(hresult(reply)).toBe('0x80004001');
    expect(reply.type).toBe(0x20100101);
    await negotiate(host);
  });

  test('a second one is not supported', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.host();
    const reply = await host.request(RAW.negotiate, { MinimumVersion: 4, MaximumVersion: 4 });
    expect(hresult(reply)).toBe('0x80004001');
    await settled(host);
  });

  test('requests may follow it in the same packet', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.connection();
    const replies = [host.expectReply(RAW.negotiate, 0n), host.expectReply(RAW.start, 1n)];
    const first = rawFrame(RAW.negotiate, 0, '{"MinimumVersion":4,"MaximumVersion":4}\n');
    host.sendBytes(Buffer.concat([first, rawFrame(RAW.start, 1, '{}\n')]));
    const [negotiated, started] = await Promise.all(replies);
    expect(negotiated?.body.Result).toBe(0);
    expect(started?.body.Result).toBe(0);
  });
});

describe('the VM', () => {
  test('is opened once, by the first who needs it, and negotiating does not', async () => {
    const uvm = new FakeUvm();
    const opened = Promise.withResolvers<void>();
    let times = 0;
    uvm.opening = () => {
      times += 1;
      return opened.promise;
    };
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const requests = ['a', 'b', 'c'].map((id) => host.request(RAW.deleteContainerState, body(id)));
    await new Promise((next) => setImmediate(next));
    expect(uvm.calls).toEqual([]);
    opened.resolve();
    for (const reply of await Promise.all(requests)) expect(hresult(reply)).toBe('0x0');
    expect(uvm.calls).toEqual(['a', 'b', 'c'].map((id) => ['deleteContainer', id]));
    expect(times).toBe(1);
  });

  test('that cannot be opened fails the request, and the next one tries again', async () => {
    const uvm = new FakeUvm();
    uvm.opening = async () => {
      throw new Error('no room');
    };
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const activity = { ActivityId: '12345678-1234-1234-1234-123456789abc' };
    const request = body('a', activity);
    const failed = await host.request(RAW.deleteContainerState, request);
    expect(failed.body).toMatchObject({ ErrorMessage: 'no room', ...activity });
    expect(session.log).toContainEqual(
      expect.objectContaining({ level: 'error', error: expect.stringContaining('no room') }),
    );
    uvm.opening = async () => {};
    expect(hresult(await host.request(RAW.deleteContainerState, request))).toBe('0x0');
    expect(uvm.calls).toEqual([['deleteContainer', 'a']]);
  });
});

describe('messages', () => {
  test.each([
    [0x1010ff01, 0x2010ff01],
    [0x00000000, 0x20000000],
    [0x10100102, 0x20100102],
    [0x10100e01, 0x20100e01],
    [0x20100101, 0x20100101],
    [0x30100101, 0x20100101],
  ])('type 0x%s is unknown: not supported', async (type, reply) => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.host();
    const answer = await host.request(type, body('c'));
    expect(answer.type).toBe(reply);
    expect(hresult(answer)).toBe('0x80004001');
    expect(answer.body.ActivityId).toBe('00000000-0000-0000-0000-000000000000');
  });

  test.each([
    ['', 'unexpected end of JSON input'],
    ['{}x', 'JSON'],
    ['{"ContainerId":"c"} {}', 'JSON'],
    ['[]', 'expected object, found array'],
    ['{"ContainerId":5}', 'ContainerId: expected string, found number'],
    ['{"ProcessId":-1}', 'ProcessId: expected u32, found -1'],
    ['{"ProcessId":4294967296}', 'ProcessId: expected u32, found 4294967296'],
    ['{"ProcessId":1.5}', 'ProcessId: expected u32, found 1.5'],
  ])('payload %j is 0xc037010d', async (payload, text) => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.host();
    const reply = await host.request(RAW.waitForProcess, payload);
    expect(hresult(reply)).toBe('0xc037010d');
    expect(reply.body.ErrorMessage).toContain(text);
    expect(reply.body.ErrorMessage).toMatch(/^failed to unmarshal JSON in message "/);
    await settled(host);
  });

  test('invalid UTF-8 in a string is replaced', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const payload = Buffer.from('7b22436f6e7461696e65724964223a22ff227d', 'hex');
    const reply = await host.request(RAW.deleteContainerState, payload);
    expect(reply.body.Result).toBe(0);
    expect(uvm.calls).toEqual([['deleteContainer', '\ufffd']]);
  });

  test('names in another case, white space around, null and unknown fields are accepted', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const payload = ' \n{"containerid":"c","PROCESSID":7,"Options":null,"New":{"a":[1]}}\r\n\t ';
    expect((await host.request(RAW.signalProcess, payload)).body.Result).toBe(0);
    expect(uvm.calls).toEqual([['signal', 'c', 7, 9]]);
  });

  test('ids are 64 bits, zero is one of them', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.connection();
    const id = 2n ** 64n - 1n;
    const negotiated = { ContainerId: '', MinimumVersion: 4, MaximumVersion: 4 };
    expect((await host.request(RAW.negotiate, negotiated, { id: 0n })).id).toBe(0n);
    expect((await host.request(RAW.start, body('c'), { id })).id).toBe(id);
    expect((await host.request(RAW.start, body('c'), { id: 0n })).id).toBe(0n);
  });

  test('a request is answered while others are pending', async () => {
    const processes = new FakeProcesses();
    await using session = new BridgeSession(new FakeUvm({ wait: processes.wait }));
    const host = await session.host();
    const wait = host.call(RAW.waitForProcess, body('c', { ProcessId: 1, ...forever }));
    await settled(host);
    expect(host.pending).toBe(1);
    processes.end(1, 42);
    expect((await wait).body.ExitCode).toBe(42);
  });

  test('a fault in a handler is an error reply, and its place is in the log', async () => {
    const uvm = new FakeUvm({
      describe: () => {
        throw new TypeError('nobody thought of this');
      },
    });
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const reply = await host.request(RAW.dumpStacks, body('c'));
    expect(hresult(reply)).toBe('0x80004005');
    expect(session.log.find(({ msg }) => msg === 'request failed')?.stack).toContain(
      'server.test.ts',
    );
    await settled(host);
  });

  test('a request with a long spec is answered', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const reply = await host.request(RAW.deleteContainerState, body('x'.repeat(1024 * 1024)));
    expect(reply.body.Result).toBe(0);
  });
});

describe('hostile frames', () => {
  test.each([
    0,
    1,
    15,
    0x7fffffff,
    0xffffffff,
    16 * 1024 * 1024 + 1,
  ])('size %i: the connection is closed and dialed again, no memory is taken', async (size) => {
    const processes = new FakeProcesses();
    const uvm = new FakeUvm({ wait: processes.wait });
    await using session = new BridgeSession(uvm);
    const first = await session.host();
    const before = process.memoryUsage().arrayBuffers;
    first.sendBytes(rawFrame(0x40000000, 1, 'x'.repeat(20), size));
    const second = await session.host();
    await first.closed;
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1024 * 1024);
    await settled(second);
    expect(uvm.calls).toEqual([]);
  });

  test('a request whose size is wrong is told why before the end', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.host();
    const reply = host.expectReply(RAW.create, 77n);
    host.sendBytes(rawFrame(RAW.create, 77, '', 0x7fffffff));
    expect((await reply).body.ErrorMessage).toContain('invalid message size 2147483647');
    await host.closed;
  });

  test('garbage', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const first = await session.connection();
    first.sendBytes(Buffer.alloc(1000, 0xee));
    await first.closed;
    await settled(await session.host());
  });

  test('a truncated frame', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const first = await session.host();
    first.sendBytes(rawFrame(RAW.deleteContainerState, 1, '{"ContainerId":"c"}').subarray(0, 30));
    first.socket.end();
    await settled(await session.host());
    expect(uvm.calls).toEqual([]);
    expect(session.log.find(({ msg }) => msg === 'bridge lost')?.reason).toContain(
      '30 bytes into a message',
    );
  });

  test('a duplicate id is an error, the first request goes on', async () => {
    const processes = new FakeProcesses();
    await using session = new BridgeSession(new FakeUvm({ wait: processes.wait }));
    const host = await session.host();
    const wait = body('c', { ProcessId: 1, ...forever });
    // The raw host forgets its first request here as a host does that reuses an id.
    host.request(RAW.waitForProcess, wait, { id: 9n }).catch(() => {});
    const second = await host.request(RAW.start, body('c'), { id: 9n });
    expect(hresult(second)).toBe('0x80070057');
    expect(second.body.ErrorMessage).toContain('message id 9 is in use');
    const first = host.expectReply(RAW.waitForProcess, 9n);
    processes.end(1, 3);
    expect((await first).body.ExitCode).toBe(3);
    // Answered: the id is free.
    expect((await host.request(RAW.start, body('c'), { id: 9n })).body.Result).toBe(0);
  });

  test('10,000 pending requests', async () => {
    const processes = new FakeProcesses();
    await using session = new BridgeSession(new FakeUvm({ wait: processes.wait }));
    const host = await session.host();
    const waits = Array.from({ length: 10_000 }, (_, pid) =>
      host.call(RAW.waitForProcess, body('c', { ProcessId: pid, ...forever })),
    );
    await settled(host);
    expect(processes.waiting).toBe(10_000);
    for (let pid = 0; pid < 10_000; pid++) processes.end(pid, pid % 256);
    const codes = (await Promise.all(waits)).map((reply) => reply.body.ExitCode);
    expect(codes).toEqual(Array.from({ length: 10_000 }, (_, pid) => pid % 256));
  }, 30_000);

  test('more pending requests than the limit are refused, those before it go on', async () => {
    const processes = new FakeProcesses();
    const uvm = new FakeUvm({ wait: processes.wait });
    await using session = new BridgeSession(uvm, { pendingRequests: 3 });
    const host = await session.host();
    const waits = [0, 1, 2, 3, 4].map((pid) =>
      host.request(RAW.waitForProcess, body('c', { ProcessId: pid, ...forever })),
    );
    const refused = await Promise.all(waits.slice(3));
    expect(refused.map(hresult)).toEqual(['0x80004005', '0x80004005']);
    expect(refused[0]?.body.ErrorMessage).toContain('more than 3 unanswered requests');
    for (const pid of [0, 1, 2]) processes.end(pid, 0);
    expect((await Promise.all(waits.slice(0, 3))).map(({ body }) => body.Result)).toEqual([
      0, 0, 0,
    ]);
    await settled(host);
  });

  test('pending requests of too many bytes are refused', async () => {
    const processes = new FakeProcesses();
    const uvm = new FakeUvm({ wait: processes.wait });
    await using session = new BridgeSession(uvm, { pendingBytes: 5000 });
    const host = await session.host();
    const long = body('c', { ProcessId: 1, ...forever, Padding: 'x'.repeat(3000) });
    const first = host.request(RAW.waitForProcess, long);
    const second = await host.request(RAW.waitForProcess, long);
    expect(second.body.ErrorMessage).toContain('more than 5000 bytes');
    processes.end(1, 0);
    expect((await first).body.Result).toBe(0);
    expect((await host.request(RAW.start, long)).body.Result).toBe(0);
  });

  // Many requests in one read of the agent, and requests that are cut by its reads.
  test.each([
    0, 3000,
  ])('a host that does not read its replies is not read from, and served when it reads (%i)', async (padding) => {
    let handled = 0;
    const long = 'x'.repeat(60_000);
    const uvm = new FakeUvm({
      describe: () => {
        handled += 1;
        return [long];
      },
    });
    await using session = new BridgeSession(uvm, { unreadReplyBytes: 64 * 1024 });
    const host = await session.host();
    host.socket.pause();
    const request = body('c', { Padding: 'x'.repeat(padding) });
    const replies = Array.from({ length: 400 }, () => host.request(RAW.dumpStacks, request));
    // Both ends live on this event loop: when many turns bring nothing, nothing more will come.
    let idle = 0;
    for (let seen = -1; idle < 100; await new Promise((next) => setImmediate(next))) {
      idle = handled === seen ? idle + 1 : 0;
      seen = handled;
    }
    expect(handled).toBeGreaterThan(0);
    expect(handled).toBeLessThan(50);
    host.socket.resume();
    const results = (await Promise.all(replies)).map((reply) => reply.body.Result);
    expect(results).toEqual(Array(400).fill(0));
  });

  test('a host that never reads the replies under way is given up', async () => {
    const gate = Promise.withResolvers<void>();
    const pids = Array.from({ length: 2000 }, (_, pid) => ({ pid: pid + 4_000_000 }));
    const uvm = new FakeUvm({ processes: () => gate.promise.then(() => pids) });
    await using session = new BridgeSession(uvm, { abandonedReplyBytes: 1024 * 1024 });
    const host = await session.host();
    const query = body('c', { Query: '{"PropertyTypes":["ProcessList"]}' });
    const replies = Array.from({ length: 100 }, () => host.request(RAW.getProperties, query));
    const outcomes = Promise.allSettled(replies);
    await settled(host);
    host.socket.pause();
    gate.resolve();
    const second = await session.host();
    host.socket.resume();
    await outcomes;
    expect(session.log.find(({ msg }) => msg === 'bridge lost')?.reason).toContain('does not read');
    await settled(second);
  });
});

describe('the bridge is lost', () => {
  test('it is dialed again and negotiated anew', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const first = await session.host();
    first.close();
    const second = await session.connection();
    expect(hresult(await second.request(RAW.start, body('c')))).toBe('0x80004001');
    await negotiate(second);
    await settled(second);
    expect(session.transport.dials).toEqual([0x40000000, 0x40000000]);
  });

  test('a host that is not there is tried until it is, and the log says so once', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const first = await session.host();
    session.transport.refuse = new TransportError('refused', 'nobody listens', {
      transport: 'pair',
    });
    first.close();
    while (session.transport.dials.length < 10) await new Promise((next) => setImmediate(next));
    session.transport.refuse = undefined;
    await settled(await session.host());
    expect(session.log.filter(({ msg }) => msg.startsWith('cannot reach'))).toHaveLength(1);
  });

  test('a transport that will never connect again ends the server', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const first = await session.host();
    session.transport.refuse = new TransportError('closed', 'over', { transport: 'pair' });
    first.close();
    await expect(session.done).rejects.toThrow('over');
  });

  test('a transport with one connection ends with it', async () => {
    await using session = new BridgeSession(new FakeUvm(), {}, true);
    (await session.host()).close();
    await session.done;
    expect(session.transport.dials).toHaveLength(1);
  });

  test('requests in flight are finished, not redone, and not answered on the next connection', async () => {
    const gate = Promise.withResolvers<void>();
    let finished = 0;
    const uvm = new FakeUvm({
      deleteContainer: async () => {
        await gate.promise;
        finished += 1;
      },
    });
    await using session = new BridgeSession(uvm);
    const first = await session.host();
    first.request(RAW.deleteContainerState, body('c')).catch(() => {});
    await settled(first);
    first.close();
    const second = await session.host();
    gate.resolve();
    await settled(second);
    expect(finished).toBe(1);
    expect(second.received).toHaveLength(2);
  });

  test('waits are cancelled, so that the exit code waits for the next host', async () => {
    const processes = new FakeProcesses();
    await using session = new BridgeSession(new FakeUvm({ wait: processes.wait }));
    const first = await session.host();
    const request = body('c', { ProcessId: 5, ...forever });
    first.request(RAW.waitForProcess, request).catch(() => {});
    await settled(first);
    first.close();
    const second = await session.host();
    expect(processes.cancelled).toBe(1);
    expect(processes.waiting).toBe(0);
    const wait = second.call(RAW.waitForProcess, request);
    await settled(second);
    processes.end(5, 7);
    expect((await wait).body.ExitCode).toBe(7);
  });

  test('a server that is stopped closes the connection', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.host();
    session.stop();
    await host.closed;
    await session.done;
  });
});

describe('notifications', () => {
  const guid = '12345678-1234-1234-1234-123456789abc';
  const config = JSON.stringify({
    SchemaVersion: { Major: 2, Minor: 1 },
    OciBundlePath: '/b',
    OciSpecification: { process: {}, linux: {} },
  });

  test('carry the ActivityId of the Create', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    await host.call(RAW.create, { ContainerId: 'c', ActivityId: guid, ContainerConfig: config });
    uvm.exit('c', 'GracefulExit');
    expect((await host.notification('c')).body).toEqual({
      ContainerId: 'c',
      ActivityId: guid,
      Type: 'GracefulExit',
      Operation: 'None',
      Result: 0,
    });
  });

  test('a Create that fails does not change whose notification it is', async () => {
    const taken = new Set<string>();
    const uvm = new FakeUvm({
      createContainer: async ({ id }) => {
        if (taken.has(id)) throw new Error('exists');
        taken.add(id);
      },
    });
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    await host.call(RAW.create, { ContainerId: 'c', ActivityId: guid, ContainerConfig: config });
    const again = { ...body('c'), ContainerConfig: config };
    expect((await host.request(RAW.create, again)).body.Result).not.toBe(0);
    uvm.exit('c');
    expect((await host.notification('c')).body.ActivityId).toBe(guid);
  });

  test('are written where the model tells them: after a wait it has answered, before what it answers next', async () => {
    const processes = new FakeProcesses();
    const uvm = new FakeUvm({ wait: processes.wait });
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    const wait = host.call(RAW.waitForProcess, body('c', { ProcessId: 1, ...forever }));
    await settled(host);
    const before = host.received.length;
    processes.end(1, 0);
    await new Promise(setImmediate);
    uvm.exit('c');
    const next = host.call(RAW.start, body('c'));
    await Promise.all([wait, host.notification('c'), next]);
    expect(host.received.slice(before).map(({ type }) => type)).toEqual([
      0x20100601, 0x30100101, 0x20100201,
    ]);
  });

  test('wait for a connection that has negotiated, and come once, in order', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const first = await session.host();
    first.close();
    const second = await session.connection();
    uvm.exit('a');
    uvm.exit('b');
    expect((await second.request(RAW.start, body('c'))).body.Result).not.toBe(0);
    expect(second.notifications).toEqual([]);
    await negotiate(second);
    await second.notification('b');
    expect(second.notifications.map((m) => m.body.ContainerId)).toEqual(['a', 'b']);
    const dump = await second.call(RAW.dumpStacks, body('c'));
    expect(dump.body.GuestStacks).toContain('exit notifications on their way: 0');
    second.close();
    const third = await session.host();
    await settled(third);
    expect(third.notifications).toEqual([]);
  });

  test('one that the lost connection did not take goes to the next', async () => {
    const uvm = new FakeUvm();
    const limits = { unreadReplyBytes: 1e9, abandonedReplyBytes: 1e9 };
    await using session = new BridgeSession(uvm, limits);
    const first = await session.host();
    first.socket.pause();
    const dump = body('c');
    const pids = Array.from({ length: 300 }, () => first.request(RAW.getProperties, dump));
    const all = Promise.allSettled(pids);
    const names = Array.from({ length: 5000 }, (_, i) => `container-${i}`);
    for (const name of names) uvm.exit(name);
    await new Promise((next) => setImmediate(next));
    first.close();
    await all;
    const second = await session.host();
    await second.notification('container-4999');
    const seen = second.notifications.map((m) => String(m.body.ContainerId));
    // What the kernel had taken is gone with the first host; from there on none is missing.
    expect(seen.length).toBeGreaterThan(0);
    expect(seen).toEqual(names.slice(names.length - seen.length));
  });

  test('beyond the limit the oldest is dropped, and the log says whose', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm, { waitingNotifications: 2 });
    const first = await session.host();
    await settled(first);
    first.close();
    const host = await session.connection();
    for (const id of ['a', 'b', 'c']) uvm.exit(id);
    await new Promise((next) => setImmediate(next));
    await negotiate(host);
    await host.notification('c');
    expect(host.notifications.map((m) => m.body.ContainerId)).toEqual(['b', 'c']);
    expect(session.log.find(({ msg }) => msg.includes('dropped'))).toMatchObject({
      level: 'error',
      containerId: 'a',
    });
  });
});

describe('logs', () => {
  const traceID = '4bf92f3577b34da6a3ce929d0e0e4736';
  const spanID = '00f067aa0ba902b7';
  const otsc = { traceparent: `00-${traceID}-${spanID}-01`, tracestate: '' };

  test('every entry of a request carries its trace context, its name and its id', async () => {
    const uvm = new FakeUvm();
    await using session = new BridgeSession(uvm);
    const host = await session.host();
    await host.call(RAW.deleteContainerState, body('c', { otsc }));
    const entries = session.log.filter(({ request }) => request === 'DeleteContainerState');
    expect(entries.map(({ msg }) => msg)).toEqual(['request', 'request body', 'request done']);
    for (const entry of entries) {
      expect(entry).toMatchObject({ traceID, spanID, containerId: 'c', requestId: 1 });
    }
  });

  test('hold neither the environment nor other secrets of a request', async () => {
    await using session = new BridgeSession(new FakeUvm());
    const host = await session.host();
    const secret = 'hunter2';
    const exec = (OciProcess: object): object =>
      body('c', {
        Settings: { ProcessParameters: JSON.stringify({ OciProcess, Environment: { A: secret } }) },
      });
    await host.request(
      RAW.executeProcess,
      exec({ args: ['x', `--password=${secret}`, '--token', secret], env: [`A=${secret}`] }),
    );
    await host.request(RAW.executeProcess, exec({ args: [1], env: [`A=${secret}`] }));
    const log = JSON.stringify(session.log);
    expect(log).not.toContain(secret);
    expect(log).toContain('A=<scrubbed>');
    expect(log).toContain('OciProcess.args[0]: expected string, found number');
  });
});
