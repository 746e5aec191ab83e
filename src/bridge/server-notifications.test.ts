import { describe, expect, test } from 'vitest';
import { RAW } from '../../test/support/raw-client.ts';
import { FakeProcesses, FakeUvm } from './testing/fake-uvm.ts';
import { BridgeSession, body, forever, negotiate, settled } from './testing/session.ts';

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
