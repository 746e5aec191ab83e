import { describe, expect, test } from 'vitest';
import { RAW, rawFrame } from '../../test/support/raw-client.ts';
import { FakeProcesses, FakeUvm } from './testing/fake-uvm.ts';
import { BridgeSession, body, forever, hresult, settled } from './testing/session.ts';

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
