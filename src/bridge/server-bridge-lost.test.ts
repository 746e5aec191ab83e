import { describe, expect, test } from 'vitest';
import { RAW } from '../../test/support/raw-client.ts';
import { TransportError } from '../vsock/transport.ts';
import { FakeProcesses, FakeUvm } from './testing/fake-uvm.ts';
import { BridgeSession, body, forever, hresult, negotiate, settled } from './testing/session.ts';

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
