import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readSync, rmSync, statSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listenUnix } from '../os/socket.ts';
import { EmulatedHost } from './emulator/host.ts';
import { HybridTransport } from './hybrid.ts';

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync('/tmp/gcs-hybrid-');
  path = join(directory, 'v.sock');
});
afterEach(() => {
  const left = readdirSync(directory);
  rmSync(directory, { recursive: true });
  expect(left).toEqual([]);
});

/** A host that says what it likes; resolves once connected. */
async function peer(...words: (string | Buffer)[]): Promise<net.Socket> {
  const socket = net.connect({ path, allowHalfOpen: true });
  socket.on('error', (error: NodeJS.ErrnoException) => expect(error.code).toBe('ECONNRESET'));
  await once(socket, 'connect');
  for (const word of words) socket.write(word);
  return socket;
}

/** Everything the guest answered before it closed. */
async function answer(socket: net.Socket): Promise<string> {
  let got = '';
  socket.on('data', (chunk) => {
    got += chunk;
  });
  if (!socket.readableEnded && !socket.closed)
    await new Promise((resolve) => {
      socket.once('end', resolve);
      socket.once('close', resolve);
    });
  socket.destroy();
  return got;
}

describe('a guest that listens on hybrid:PATH', () => {
  it('answers OK with a number and gives the rest of the stream to who accepts', async () => {
    await using guest = new HybridTransport(path);
    const listener = await guest.listen(1024);
    const socket = await peer('CONNECT 1024\nhello');
    using connection = await listener.accept();
    expect(connection.port).toBe(1024);
    // Sent together with the line, and still in the socket for whoever gets the descriptor.
    using fd = connection.takeFd();
    const bytes = Buffer.alloc(100);
    expect(readSync(fd.raw, bytes, 0, 100, null)).toBe(5);
    expect(bytes.toString('latin1', 0, 5)).toBe('hello');
    fd.close();
    expect(await answer(socket)).toMatch(/^OK [0-9]+\n$/);
  });

  it('counts the numbers it answers with', async () => {
    await using guest = new HybridTransport(path);
    await using listener = await guest.listen(5);
    const numbers: number[] = [];
    for (let dial = 0; dial < 3; dial += 1) {
      const socket = await peer('CONNECT 5\n');
      (await listener.accept()).close();
      numbers.push(Number((await answer(socket)).slice('OK '.length)));
    }
    const [first = Number.NaN] = numbers;
    expect(numbers).toEqual([first, first + 1, first + 2]);
  });

  it('closes without a word for a port nobody listens on', async () => {
    await using guest = new HybridTransport(path);
    await using _listener = await guest.listen(5);
    expect(await answer(await peer('CONNECT 6\n'))).toBe('');
  });

  it.each([
    ['garbage', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['binary garbage', Buffer.alloc(4096, 0xff)],
    ['a line that is too long', `CONNECT ${'0'.repeat(200)}5\n`],
    ['an endless line', 'C'.repeat(100_000)],
    ['a port beyond 32 bits', 'CONNECT 4294967301\n'],
    ['an empty line', '\n'],
  ])('drops a peer that sends %s and serves the next', async (_what, words) => {
    const reasons: Error[] = [];
    await using guest = new HybridTransport(path, { onDropped: (reason) => reasons.push(reason) });
    await using listener = await guest.listen(5);
    expect(await answer(await peer(words))).toBe('');
    expect(reasons).toEqual([expect.objectContaining({ code: 'protocol' })]);
    const socket = await peer('CONNECT 5\n');
    using _connection = await listener.accept();
    socket.destroy();
  });

  it('drops a peer that ends within its line', async () => {
    await using guest = new HybridTransport(path);
    await using _listener = await guest.listen(5);
    const socket = await peer('CONNECT');
    socket.end();
    expect(await answer(socket)).toBe('');
  });

  it('drops a peer that says nothing in time', async () => {
    const reasons: Error[] = [];
    await using guest = new HybridTransport(path, {
      handshake: { deadlineMs: 20 },
      onDropped: (reason) => reasons.push(reason),
    });
    await using _listener = await guest.listen(5);
    const sockets = [await peer(), await peer('CONNECT 5')];
    for (const socket of sockets) expect(await answer(socket)).toBe('');
    expect(reasons.map((reason) => (reason as { code?: string }).code)).toEqual([
      'timeout',
      'timeout',
    ]);
  });

  it('takes a line that comes byte by byte', async () => {
    await using guest = new HybridTransport(path);
    await using listener = await guest.listen(5);
    const socket = await peer();
    for (const byte of 'CONNECT 5\nrest') {
      socket.write(byte);
      await turn();
    }
    socket.end();
    expect(await text((await listener.accept()).stream())).toBe('rest');
    socket.destroy();
  });

  it('serves others at once while peers are silent, slow or wrong', async () => {
    await using guest = new HybridTransport(path, { handshake: { deadlineMs: 600_000 } });
    await using listener = await guest.listen(5);
    await using host = new EmulatedHost(path);
    const bad: net.Socket[] = [];
    for (let each = 0; each < 100; each += 1)
      bad.push(await peer(), await peer('CONN'), await peer('nonsense\n'));
    for (let dial = 0; dial < 20; dial += 1) {
      using dialed = await host.dial(5);
      using accepted = await listener.accept();
      const [a, b] = [dialed.stream(), accepted.stream()];
      a.end(`dial ${dial}`);
      expect(await text(b)).toBe(`dial ${dial}`);
      a.destroy();
    }
    for (const socket of bad) socket.destroy();
  });

  it('drops the peer that has been silent longest when there are too many', async () => {
    await using guest = new HybridTransport(path, {
      handshake: { pending: 2, deadlineMs: 600_000 },
    });
    await using listener = await guest.listen(5);
    const oldest = await peer();
    const younger = await peer();
    const socket = await peer('CONNECT 5\n');
    using _connection = await listener.accept();
    expect(await answer(oldest)).toBe('');
    younger.write('CONNECT 5\n');
    using _another = await listener.accept();
    younger.destroy();
    socket.destroy();
  });

  it('refuses more than its backlog until some are accepted', async () => {
    await using guest = new HybridTransport(path, { backlog: 2 });
    await using listener = await guest.listen(5);
    await using host = new EmulatedHost(path);
    using _one = await host.dial(5);
    using _two = await host.dial(5);
    await expect(host.dial(5)).rejects.toMatchObject({ code: 'refused' });
    (await listener.accept()).close();
    using _three = await host.dial(5);
  });

  it('makes PATH with the first listener, for its user alone, and removes it with the last', async () => {
    await using guest = new HybridTransport(path);
    expect(existsSync(path)).toBe(false);
    const one = await guest.listen(1);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const two = await guest.listen(2);
    one.close();
    expect(existsSync(path)).toBe(true);
    two.close();
    expect(existsSync(path)).toBe(false);
    await using _again = await guest.listen(1);
    expect(existsSync(path)).toBe(true);
  });

  it('fails with "port-in-use" when another agent serves PATH, which notices nothing', async () => {
    await using other = new HybridTransport(path);
    await using listener = await other.listen(1);
    await using guest = new HybridTransport(path);
    await expect(guest.listen(2)).rejects.toMatchObject({ code: 'port-in-use', port: 2 });
    const socket = await peer('CONNECT 1\n');
    using _connection = await listener.accept();
    socket.destroy();
  });

  it('fails with "system" when the directory does not exist', async () => {
    await using guest = new HybridTransport(join(directory, 'none', 'v.sock'));
    await expect(guest.listen(2)).rejects.toMatchObject({
      code: 'system',
      cause: expect.objectContaining({ code: 'ENOENT' }),
    });
  });

  it('drops who is still silent when the last listener closes', async () => {
    await using guest = new HybridTransport(path);
    const listener = await guest.listen(5);
    const silent = await peer();
    listener.close();
    expect(await answer(silent)).toBe('');
  });
});

describe('the emulated host', () => {
  /** A guest that answers a CONNECT line in its own way; resolves with what it does next. */
  async function against<T>(answers: string | null, dial: (host: EmulatedHost) => Promise<T>) {
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.once('data', () => {
        if (answers !== null) socket.end(answers);
      });
      socket.on('end', () => socket.end());
      // The host may close with part of the answer unread.
      socket.on('error', (error: NodeJS.ErrnoException) => expect(error.code).toBe('ECONNRESET'));
    });
    server.listen(path);
    await once(server, 'listening');
    const before = readdirSync('/proc/self/fd').length;
    await using host = new EmulatedHost(path);
    try {
      return await dial(host);
    } finally {
      const ended = once(server, 'close');
      server.close();
      await ended;
      // The listening socket is gone, and nothing else came.
      expect(readdirSync('/proc/self/fd').length).toBe(before - 1);
    }
  }

  it('keeps what the guest sends right behind its OK', async () => {
    await against('OK 1\nfirst words', async (host) => {
      using connection = await host.dial(9);
      using fd = connection.takeFd();
      const bytes = Buffer.alloc(100);
      const count = readSync(fd.raw, bytes, 0, 100, null);
      expect(bytes.toString('latin1', 0, count)).toBe('first words');
    });
  });

  it.each([
    ['closes', '', 'refused'],
    ['answers nonsense', 'ERR 5\n', 'protocol'],
    ['answers without an end', 'O'.repeat(1_000), 'protocol'],
    ['closes within its answer', 'OK 12', 'protocol'],
  ])('fails when the guest %s', async (_what, answers, code) => {
    await against(answers, async (host) => {
      await expect(host.dial(9)).rejects.toMatchObject({ name: 'TransportError', code, port: 9 });
    });
  });

  it('fails at its deadline when the guest does not answer', async () => {
    await against(null, async (host) => {
      const dial = host.dial(9, { timeoutMs: 20 });
      await expect(dial).rejects.toMatchObject({ code: 'timeout', port: 9 });
    });
  });

  it('gives up a dial whose signal aborts while it waits, with the reason', async () => {
    await against(null, async (host) => {
      const abort = new AbortController();
      const dial = host.dial(9, { signal: abort.signal });
      const reason = new Error('not needed');
      setImmediate(() => abort.abort(reason));
      await expect(dial).rejects.toBe(reason);
    });
  });

  it('fails with "refused" when there is no guest, or only its stale socket', async () => {
    await using host = new EmulatedHost(path);
    await expect(host.dial(9)).rejects.toMatchObject({ code: 'refused' });
  });

  it('makes PATH_port for its user alone before listen returns', async () => {
    await using host = new EmulatedHost(path);
    await using listener = await host.listen(77);
    expect(statSync(`${path}_77`).mode & 0o777).toBe(0o600);
    listener.close();
    expect(existsSync(`${path}_77`)).toBe(false);
  });

  it('fails with "port-in-use" when another host listens, which notices nothing', async () => {
    using sockets = listenUnix(`${path}_77`);
    const accepted = sockets.accept();
    await using host = new EmulatedHost(path);
    await expect(host.listen(77)).rejects.toMatchObject({ code: 'port-in-use', port: 77 });
    await using guest = new HybridTransport(path);
    using dialed = await guest.dial(77);
    using _fd = await accepted;
    const stream = dialed.stream();
    stream.destroy();
  });
});
