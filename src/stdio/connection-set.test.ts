import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { requireNothingLeft } from '../../test/support/process-suite.ts';
import { PairTransport } from '../../test/support/stdio-rig.ts';
import { ConnectionSet } from './connection-set.ts';

requireNothingLeft();
let transport: PairTransport;

beforeEach(() => {
  transport = new PairTransport();
});
afterEach(async () => {
  await transport[Symbol.asyncDispose]();
});

describe('ConnectionSet', () => {
  test('dials stdin, stdout and stderr in this order', async () => {
    using set = await ConnectionSet.dial(transport, { stderr: 30, stdout: 20, stdin: 10 });
    expect(transport.dialed).toEqual([10, 20, 30]);
    const fds = set.take();
    for (const fd of Object.values(fds)) {
      expect(fd?.open).toBe(true);
      fd?.close();
    }
  });

  test('dials only what is wanted, port 0 too', async () => {
    using set = await ConnectionSet.dial(transport, { stdout: 0 });
    expect(transport.dialed).toEqual([0]);
    const { stdin, stdout, stderr } = set.take();
    expect([stdin, stderr]).toEqual([null, null]);
    stdout?.close();
  });

  test('a failed dial is told as the protocol does and closes what was made', async () => {
    transport.refuse = 20;
    const dial = ConnectionSet.dial(transport, { stdin: 10, stdout: 20, stderr: 30 });
    await expect(dial).rejects.toMatchObject({
      name: 'TransportError',
      code: 'refused',
      port: 20,
      message: 'failed creating stdout Connection: nobody listens',
    });
    expect(transport.dialed).toEqual([10, 20]);
  });

  test('any other failure of a dial becomes a TransportError too', async () => {
    transport.dial = () => Promise.reject(new Error('unforeseen'));
    await expect(ConnectionSet.dial(transport, { stdin: 1 })).rejects.toMatchObject({
      code: 'system',
      message: 'failed creating stdin Connection: unforeseen',
      cause: new Error('unforeseen'),
    });
  });

  test('cancelled: the reason of the signal, and what was made is closed', async () => {
    const controller = new AbortController();
    const { dial } = transport;
    transport.dial = async (port, options) => {
      const connection = await dial.call(transport, port, options);
      controller.abort(new Error('the host went away'));
      return connection;
    };
    await expect(
      ConnectionSet.dial(transport, { stdin: 1, stdout: 2 }, { signal: controller.signal }),
    ).rejects.toThrow('the host went away');
  });

  test('closes what nobody took', async () => {
    const set = await ConnectionSet.dial(transport, { stdin: 1, stdout: 2 });
    set[Symbol.dispose]();
    expect(set.take()).toEqual({ stdin: null, stdout: null, stderr: null });
  });
});
