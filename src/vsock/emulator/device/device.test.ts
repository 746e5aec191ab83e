import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { type GuestConnection, OP } from '../../../../test/support/virtio-guest.ts';
import { DeviceLab, pattern, readAll } from '../../../../test/support/vsock-device-lab.ts';
import { connectUnix, listenUnix } from '../../../os/socket.ts';

it('connects a guest to the unix socket of a host port and ends it both ways', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  const connection = await guest.connect(900);
  await connection.write(Buffer.from('hello'));
  await connection.until(() => connection.data.toString() === 'hello');
  connection.shutdown(2);
  await connection.until(() => connection.ended !== 0);
  // The echo server has ended its side, and is told of our close.
  connection.shutdown(3);
  await connection.until(() => connection.reset);
  expect(lab.device.figures).toMatchObject({ connections: 0, draining: 0, bufferedBytes: 0 });
});

it('resets a guest that dials a host port nobody listens on', async () => {
  await using lab = new DeviceLab();
  const guest = await lab.boot();
  await expect(guest.connect(901)).rejects.toThrow('refused');
});

it('resets a guest whose host port does not take connections in time', async () => {
  await using lab = new DeviceLab({ limits: { hostConnectMs: 20 } });
  const path = `${lab.path}_901`;
  using _listener = listenUnix(path, 0);
  using _all = await connectUnix(path);
  const guest = await lab.boot();
  await expect(guest.connect(901)).rejects.toThrow('refused');
});

it('answers OK to a host only when the guest has accepted', async () => {
  await using lab = new DeviceLab();
  const guest = await lab.boot();
  guest.listen(5000, () => {});
  const socket = await lab.knock();
  socket.write('CONNECT 5000\n');
  const [line] = (await once(socket, 'data')) as [Buffer];
  expect(line.toString()).toMatch(/^OK \d+\n$/);
  socket.destroy();
});

it('closes a host without OK when the guest refuses, and as an end, not an error', async () => {
  await using lab = new DeviceLab();
  await lab.boot();
  const socket = await lab.knock();
  socket.write('CONNECT 5001\nbytes that came too early');
  expect((await readAll(socket)).toString()).toBe('');
});

it('closes a host without OK while no guest runs', async () => {
  await using lab = new DeviceLab();
  const socket = await lab.knock();
  socket.write('CONNECT 5001\n');
  expect((await readAll(socket)).toString()).toBe('');
});

it('closes a host without OK when the guest does not answer in time', async () => {
  await using lab = new DeviceLab({ limits: { guestAnswerMs: 20 } });
  const guest = await lab.boot();
  guest.machine.onPacket = () => {};
  const socket = await lab.knock();
  socket.write('CONNECT 5001\n');
  expect((await readAll(socket)).toString()).toBe('');
  expect(lab.device.figures.connections).toBe(0);
});

it('delivers what a host writes right behind its CONNECT line', async () => {
  await using lab = new DeviceLab();
  const guest = await lab.boot();
  const accepted = Promise.withResolvers<void>();
  guest.listen(5000, (connection) => {
    void connection
      .until(() => connection.ended === 2)
      .then(() => {
        expect(connection.data.toString()).toBe('early');
        accepted.resolve();
      });
  });
  const socket = await lab.knock();
  socket.end('CONNECT 5000\nearly');
  await accepted.promise;
  socket.destroy();
});

it('tells a guest of a half-closed host, and then of one that is gone', async () => {
  await using lab = new DeviceLab();
  const sockets: Socket[] = [];
  await lab.serve(900, (socket) => void sockets.push(socket));
  const guest = await lab.boot();
  const connection = await guest.connect(900);
  sockets[0]?.end('last words');
  await connection.until(() => connection.ended === 2);
  expect(connection.data.toString()).toBe('last words');
  // The other direction still works.
  const heard = once(sockets[0] as Socket, 'data');
  await connection.write(Buffer.from('still here'));
  expect(String((await heard)[0])).toBe('still here');
  sockets[0]?.destroy();
  await connection.until(() => connection.ended === 3);
  connection.packet(OP.rst);
  await lab.dial(1).catch(() => {});
  expect(lab.device.figures.connections).toBe(0);
});

it('resets a connection whose end the guest does not confirm', async () => {
  await using lab = new DeviceLab({ limits: { guestCloseMs: 20 } });
  await lab.serve(900, (socket) => socket.destroy());
  const guest = await lab.boot();
  const connection = guest.dial(900);
  await connection.until(() => connection.reset);
  expect(connection.ended).toBe(3);
  expect(lab.device.figures.connections).toBe(0);
});

it('makes writes of a host fail when the guest reads no more', async () => {
  await using lab = new DeviceLab();
  const guest = await lab.boot();
  const accepted = Promise.withResolvers<void>();
  guest.listen(5000, (connection) => {
    connection.shutdown(1);
    accepted.resolve();
  });
  const socket = await lab.dial(5000);
  await accepted.promise;
  const failed = once(socket, 'error') as Promise<[NodeJS.ErrnoException]>;
  const write = (): void => void socket.write('x', (error) => error ?? setImmediate(write));
  write();
  expect((await failed)[0].code).toBe('EPIPE');
});

it('gives the host everything a guest wrote before it closed', async () => {
  await using lab = new DeviceLab();
  const sockets = Promise.withResolvers<Socket>();
  await lab.serve(900, (socket) => sockets.resolve(socket.pause()));
  const guest = await lab.boot();
  const connection = await guest.connect(900);
  const sent = pattern(200_000);
  await connection.write(sent);
  connection.shutdown(3);
  await connection.until(() => connection.reset);
  const received = await readAll(await sockets.promise);
  expect(received.equals(sent)).toBe(true);
});

it('never sends more than the guest has room for, and asks once when there is none', async () => {
  await using lab = new DeviceLab();
  const guest = await lab.boot();
  const sent = pattern(100_000);
  const finished = Promise.withResolvers<void>();
  guest.listen(5000, (connection) => {
    connection.reading = false;
    const serve = async (): Promise<void> => {
      await connection.until(() => connection.receivedBytes === 262_144);
      await connection.until(() => connection.packets.some(({ op }) => op === OP.ask));
      // The driver's answer to the question told no news; now there are some, in odd steps.
      for (let read = 0; read < 262_144; read += 1_024) connection.consume(1_024);
      connection.reading = true;
      connection.packet(OP.update);
      await connection.until(() => connection.ended === 2);
      expect(connection.packets.filter(({ op }) => op === OP.ask).length).toBeLessThan(10);
      expect(connection.data.equals(Buffer.concat([sent, sent, sent, sent]))).toBe(true);
    };
    serve().then(finished.resolve, finished.reject);
  });
  const socket = await lab.dial(5000);
  for (let count = 0; count < 4; count++) socket.write(sent);
  socket.end();
  await finished.promise;
});

it('puts no more into one packet than the bound, however large the guest’s buffers', async () => {
  await using lab = new DeviceLab({ limits: { packetBytes: 100 } });
  const guest = await lab.boot();
  const sent = pattern(10_000);
  const { promise, resolve } = Promise.withResolvers<GuestConnection>();
  guest.listen(5000, resolve);
  const socket = await lab.dial(5000);
  socket.end(sent);
  const connection = await promise;
  await connection.until(() => connection.ended === 2);
  const sizes = connection.packets.map(({ data }) => data.length);
  expect(Math.max(...sizes)).toBe(100);
  expect(connection.data.equals(sent)).toBe(true);
});

it.each([
  128, 4_096, 100_000, 262_144, 1_048_576,
])('moves bulk both ways with a guest whose own buffer has %i bytes', async (bufAlloc) => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  const connection = guest.dial(900);
  connection.bufAlloc = bufAlloc;
  await connection.until(() => connection.established);
  const sent = pattern(bufAlloc < 1_000 ? 20_000 : 3_000_000);
  await connection.write(sent);
  connection.shutdown(2);
  await connection.until(() => connection.ended !== 0);
  expect(connection.data.equals(sent)).toBe(true);
}, 20_000);

it('lets a guest whose buffer shrinks go on', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  const connection = await guest.connect(900);
  await connection.write(pattern(60_000));
  connection.bufAlloc = 256;
  connection.packet(OP.update);
  await connection.write(pattern(3_000));
  await connection.until(() => connection.receivedBytes === 63_000);
});

it('serves 500 connections at once, each with its own bytes', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  guest.listen(5000, (connection) => {
    void connection
      .until(() => connection.ended !== 0)
      .then(() => connection.write(connection.data))
      .then(() => connection.shutdown(3));
  });
  const outward = Array.from({ length: 250 }, async (_, index) => {
    const connection = await guest.connect(900);
    const sent = pattern(9_000, index);
    await connection.write(sent);
    connection.shutdown(2);
    await connection.until(() => connection.ended !== 0);
    return connection.data.equals(sent);
  });
  const inward = Array.from({ length: 250 }, async (_, index) => {
    const socket = await lab.dial(5000);
    const sent = pattern(9_000, index);
    socket.end(sent);
    return (await readAll(socket)).equals(sent);
  });
  const results = await Promise.all([...outward, ...inward]);
  expect(results.filter((right) => right)).toHaveLength(500);
}, 30_000);

it('ends every connection when the driver goes, and serves the next one', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  guest.listen(5000, () => {});
  const socket = await lab.dial(5000);
  await guest.connect(900);
  const ended = readAll(socket);
  const bases = await guest.machine.stopDriver();
  expect(bases[1]).toBeGreaterThan(0);
  expect((await ended).length).toBe(0);
  expect(lab.device.figures.connections).toBe(0);
  await guest.machine.startDriver();
  const connection = await guest.connect(900);
  await connection.write(Buffer.from('again'));
  await connection.until(() => connection.data.toString() === 'again');
  expect(lab.disconnects).toBe(0);
});

it('takes the next hypervisor when one is gone, without a descriptor left over', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const rounds: number[] = [];
  for (let round = 1; round <= 3; round++) {
    const guest = await lab.boot();
    const connection = await guest.connect(900);
    await connection.write(Buffer.from('x'));
    await connection.until(() => connection.receivedBytes === 1);
    const server = lab.disconnected(round);
    guest.machine[Symbol.dispose]();
    await server;
    rounds.push(readdirSync('/proc/self/fd').length);
  }
  expect(rounds[2]).toBe(rounds[0]);
  expect(lab.device.figures).toMatchObject({ connections: 0, connected: false });
});

it('removes both sockets when it is closed', async () => {
  await using lab = new DeviceLab();
  expect([existsSync(lab.socket), existsSync(lab.path)]).toEqual([true, true]);
  lab.device[Symbol.dispose]();
  expect([existsSync(lab.socket), existsSync(lab.path)]).toEqual([false, false]);
});

it('leaves no socket when one of them is taken', async () => {
  await using lab = new DeviceLab();
  const socket = `${lab.directory}/other`;
  expect(() => new DeviceLab({ socket, path: lab.path })).toThrow('EADDRINUSE');
  expect(existsSync(socket)).toBe(false);
});
