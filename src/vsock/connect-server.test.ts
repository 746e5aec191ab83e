import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import { expect, it } from 'vitest';
import { OsError } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { type FdListener, socketPair, toDuplex } from '../os/socket.ts';
import { AcceptQueue } from './accept-queue.ts';
import { ConnectServer } from './connect-server.ts';
import type { Connection } from './transport.ts';

const { errno } = constants;

/** A listening socket whose accepts end as scripted, then wait for its close. */
function scripted(...results: (Fd | number)[]): FdListener {
  const closed = Promise.withResolvers<never>();
  closed.promise.catch(() => {});
  const close = () => closed.reject(new OsError('accept4', errno.ECANCELED));
  return {
    accept: async () => {
      const next = results.shift();
      if (next === undefined) return closed.promise;
      if (typeof next === 'number') throw new OsError('accept4', next);
      return next;
    },
    close,
    [Symbol.dispose]: close,
  };
}

function serve(sockets: FdListener) {
  const queue = new AcceptQueue(5, 'test', 10, () => {});
  const dropped: Error[] = [];
  const failures: Error[] = [];
  const server = new ConnectServer({
    transport: 'test',
    sockets,
    route: (port) => (port === 5 ? queue : undefined),
    limits: { deadlineMs: 600_000, pending: 10 },
    onDropped: (reason) => dropped.push(reason),
    onFailure: (reason) => {
      failures.push(reason);
      queue.close(reason);
    },
  });
  return { queue, server, dropped, failures };
}

function asking(): { guest: Fd; host: Fd } {
  const [guest, host] = socketPair();
  writeSync(host.raw, 'CONNECT 5\n');
  return { guest, host };
}

it.each([
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'ECONNABORTED',
] as const)('goes on accepting after %s', async (name) => {
  const { guest, host } = asking();
  using _host = host;
  const { queue, server, failures } = serve(scripted(errno[name], guest));
  using _server = server;
  using connection: Connection = await queue.accept();
  expect(connection.port).toBe(5);
  expect(failures).toEqual([]);
});

it('drops the peer that has been silent longest when there is no descriptor left', async () => {
  const [silent, silentPeer] = socketPair();
  const { guest, host } = asking();
  using _host = host;
  const { queue, server, dropped } = serve(scripted(silent, errno.EMFILE, guest));
  using _server = server;
  const stream = toDuplex(silentPeer);
  stream.resume();
  await once(stream, 'end');
  stream.destroy();
  using _connection = await queue.accept();
  expect(dropped.map((reason) => reason.message)).toEqual([
    expect.stringContaining('out of descriptors'),
  ]);
});

it('fails every listener when its socket breaks', async () => {
  const { queue, failures } = serve(scripted(errno.EBADF));
  const broken = { code: 'system', cause: expect.objectContaining({ code: 'EBADF' }) };
  await expect(queue.accept()).rejects.toMatchObject(broken);
  await expect(queue.accept()).rejects.toMatchObject(broken);
  expect(failures).toHaveLength(1);
});
