import { once } from 'node:events';
import {
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Fd } from './fd.ts';
import { pipe } from './pipe.ts';
import {
  connectUnix,
  listenUnix,
  receiveFds,
  sendFds,
  shutdown,
  socketPair,
  toDuplex,
} from './socket.ts';

let directory: string;
let descriptors: number;

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-socket-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function connectedPair(path: string): Promise<[Fd, Fd]> {
  using listener = listenUnix(path);
  const [server, client] = await Promise.all([listener.accept(), connectUnix(path)]);
  return [server, client];
}

describe('unix sockets', () => {
  test('connect and accept give non-blocking, close-on-exec descriptors', async () => {
    const { readFileSync } = await import('node:fs');
    const [server, client] = await connectedPair(join(directory, 's'));
    using _s = server;
    using _c = client;
    for (const fd of [server, client, ...socketPair()]) {
      const flags = /^flags:\s*(\d+)/m.exec(
        readFileSync(`/proc/self/fdinfo/${fd.raw}`, 'utf8'),
      )?.[1];
      expect(Number.parseInt(flags ?? '', 8) & 0o2004000).toBe(0o2004000);
    }
  });

  test("the socket file is the owner's alone and goes with the listener", () => {
    const path = join(directory, 's');
    const listener = listenUnix(path);
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    listener.close();
    listener.close();
    expect(existsSync(path)).toBe(false);
  });

  test('a file that has replaced ours is not removed', () => {
    const path = join(directory, 's');
    const first = listenUnix(path);
    renameSync(path, `${path}.old`);
    using second = listenUnix(path);
    first.close();
    expect(lstatSync(path).isSocket()).toBe(true);
    second.close();
    expect(existsSync(path)).toBe(false);
  });

  test('a stale socket file is replaced', async () => {
    const path = join(directory, 's');
    const first = listenUnix(path);
    renameSync(path, `${path}.kept`);
    first.close();
    renameSync(`${path}.kept`, path);
    await expect(connectUnix(path)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const [server, client] = await connectedPair(path);
    server.close();
    client.close();
  });

  test('a live listener or another kind of file is EADDRINUSE and stays', async () => {
    const path = join(directory, 's');
    using listener = listenUnix(path);
    expect(() => listenUnix(path)).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }));
    const [server, client] = await Promise.all([listener.accept(), connectUnix(path)]);
    server.close();
    client.close();
    const file = join(directory, 'f');
    writeFileSync(file, 'precious');
    expect(() => listenUnix(file)).toThrow(expect.objectContaining({ code: 'EADDRINUSE' }));
    expect(existsSync(file)).toBe(true);
  });

  test('paths longer than a socket address work, to bind and to connect', async () => {
    const deep = join(directory, 'd'.repeat(100), 'e'.repeat(100));
    mkdirSync(deep, { recursive: true });
    const path = join(deep, 's');
    descriptors = openDescriptors();
    const [server, client] = await connectedPair(path);
    expect(existsSync(path)).toBe(false);
    server.close();
    client.close();
    expect(openDescriptors()).toBe(descriptors);
  });

  test('a missing file, a missing directory and a NUL are typed errors that leak nothing', async () => {
    descriptors = openDescriptors();
    await expect(connectUnix(join(directory, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(connectUnix(`${directory}/${'x'.repeat(200)}`)).rejects.toMatchObject({
      code: 'ENOENT',
    });
    await expect(connectUnix(`${directory}/a\0b`)).rejects.toMatchObject({ code: 'EINVAL' });
    expect(() => listenUnix(join(directory, 'no', 's'))).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
    expect(() => listenUnix(join(directory, 'x'.repeat(120)))).toThrow(
      expect.objectContaining({ code: 'ENAMETOOLONG' }),
    );
    expect(openDescriptors()).toBe(descriptors);
  });

  test('a full backlog is waited for, within the time limit', async () => {
    const path = join(directory, 's');
    using listener = listenUnix(path, 0);
    using first = await connectUnix(path);
    await expect(connectUnix(path, { timeoutMs: 30 })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    const reason = new Error('enough');
    const controller = new AbortController();
    const aborted = connectUnix(path, { signal: controller.signal });
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    const waiting = connectUnix(path, { timeoutMs: 60_000 });
    using _one = await listener.accept();
    using second = await waiting;
    expect(first.raw).not.toBe(second.raw);
  });
});

describe('FdListener', () => {
  test('serves waiting accepts in their order and leaves the rest in the backlog', async () => {
    const path = join(directory, 's');
    using listener = listenUnix(path);
    const accepts = [listener.accept(), listener.accept()];
    const clients = await Promise.all([connectUnix(path), connectUnix(path), connectUnix(path)]);
    clients.forEach((client, index) => {
      writeSync(client.raw, `${index}`);
    });
    const servers = [...(await Promise.all(accepts)), await listener.accept()];
    const said = await Promise.all(
      servers.map(async (server) => {
        const socket = toDuplex(server);
        const [data] = (await once(socket, 'data')) as [Buffer];
        socket.destroy();
        return String(data);
      }),
    );
    expect(said).toEqual(['0', '1', '2']);
    for (const client of clients) client.close();
  });

  test('an aborted accept takes no connection away', async () => {
    const path = join(directory, 's');
    using listener = listenUnix(path);
    const reason = new Error('enough');
    const controller = new AbortController();
    const aborted = listener.accept({ signal: controller.signal });
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    await expect(listener.accept({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    using _client = await connectUnix(path);
    using _server = await listener.accept();
  });

  test('close rejects who waits and who comes later with ECANCELED', async () => {
    const listener = listenUnix(join(directory, 's'));
    const waiting = listener.accept();
    listener.close();
    await expect(waiting).rejects.toMatchObject({ code: 'ECANCELED' });
    await expect(listener.accept()).rejects.toMatchObject({ code: 'ECANCELED' });
  });
});

describe('toDuplex', () => {
  function duplexPair(): [Socket, Socket] {
    const [one, other] = socketPair();
    return [toDuplex(one), toDuplex(other)];
  }

  test('half-closes both ways', async () => {
    const [one, other] = duplexPair();
    one.end('question');
    expect(await text(other)).toBe('question');
    // The other direction is still open.
    other.end('answer');
    expect(await text(one)).toBe('answer');
    await Promise.all([one, other].map((each) => each.closed || once(each, 'close')));
  });

  test('delivers the head first, also when the peer has already sent', async () => {
    const [one, other] = socketPair();
    writeSync(other.raw, ' world');
    other.close();
    expect(await text(toDuplex(one, { head: Buffer.from('hello') }))).toBe('hello world');
  });

  test('holds back a writer whose reader is slow, and loses nothing', async () => {
    const [one, other] = duplexPair();
    const chunk = Buffer.alloc(1 << 20, 'x');
    let refused = 0;
    for (let index = 0; index < 8; index++) if (!one.write(chunk)) refused++;
    expect(refused).toBe(8);
    expect(other.readableLength).toBeLessThanOrEqual(1 << 20);
    one.end();
    expect((await text(other)).length).toBe(8 << 20);
    other.end();
  });

  test('owns the descriptor: it is closed with the stream', async () => {
    const [one, other] = socketPair();
    using peer = other;
    const { raw } = one;
    const socket = toDuplex(one);
    expect(one.open).toBe(false);
    socket.destroy();
    await once(socket, 'close');
    expect(() => fstatSync(raw)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    expect(await text(toDuplex(peer.dup()))).toBe('');
  });

  test('emits no process warning', async () => {
    const warned = vi.fn();
    process.on('warning', warned);
    const [one, other] = duplexPair();
    one.end('x');
    other.end('y');
    await Promise.all([text(one), text(other)]);
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', warned);
    expect(warned).not.toHaveBeenCalled();
  });

  test('refuses a descriptor that is no stream and closes it', () => {
    descriptors = openDescriptors();
    // Write-only and read-only ends are fine for a pipe handle; a number nobody has is not.
    expect(() => toDuplex(new Fd(999_999))).toThrow(expect.objectContaining({ code: 'EBADF' }));
    expect(openDescriptors()).toBe(descriptors);
  });

  test('talks to a socket of Node itself', async () => {
    const path = join(directory, 'node');
    const server = createServer((socket) => socket.end('from node'));
    server.listen(path);
    await once(server, 'listening');
    const socket = toDuplex(await connectUnix(path));
    expect(await text(socket)).toBe('from node');
    socket.end();
    server.close();
    await once(server, 'close');
  });
});

describe('shutdown', () => {
  test('is no error when the peer has gone first, and ends the stream for a living one', async () => {
    const [one, other] = socketPair();
    using _o = one;
    shutdown(one, 'write');
    expect(await text(toDuplex(other))).toBe('');
    shutdown(one.raw, 'both');
  });

  test('throws for what is no socket', () => {
    const { read, write } = pipe();
    using _r = read;
    using _w = write;
    expect(() => shutdown(read, 'both')).toThrow(expect.objectContaining({ code: 'ENOTSOCK' }));
  });
});

describe('descriptor passing', () => {
  test('carries descriptors and data, whichever end is first', async () => {
    const [one, other] = socketPair();
    using _one = one;
    using _other = other;
    const { read, write } = pipe();
    const waiting = receiveFds(other);
    sendFds(one, Buffer.from('/dev/ptmx'), [read, write]);
    const { fds, data } = await waiting;
    expect(String(data)).toBe('/dev/ptmx');
    expect(fds).toHaveLength(2);
    const [readCopy, writeCopy] = fds;
    read.close();
    write.close();
    writeSync(writeCopy?.raw ?? -1, 'through');
    writeCopy?.close();
    expect(await text(toDuplex(readCopy ?? new Fd(999_999)))).toBe('through');
  });

  test('rejects at the end of the stream and with the reason of the signal', async () => {
    const [one, other] = socketPair();
    using _other = other;
    const reason = new Error('enough');
    const controller = new AbortController();
    const aborted = receiveFds(other, { signal: controller.signal });
    controller.abort(reason);
    await expect(aborted).rejects.toBe(reason);
    one.close();
    await expect(receiveFds(other)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('closes all of them when more came than asked for', async () => {
    const [one, other] = socketPair();
    using _one = one;
    using _other = other;
    const { read, write } = pipe();
    descriptors = openDescriptors();
    sendFds(one, Buffer.from('x'), [read, write, read]);
    await expect(receiveFds(other, { maxFds: 2 })).rejects.toMatchObject({ code: 'EMSGSIZE' });
    expect(openDescriptors()).toBe(descriptors);
    sendFds(one, Buffer.from('x'), [read, write]);
    const { fds } = await receiveFds(other, { maxFds: 2 });
    expect(fds).toHaveLength(2);
    for (const fd of [...fds, read, write]) fd.close();
  });

  test('a full socket is EAGAIN, empty data is EINVAL', () => {
    const [one, other] = socketPair();
    using _one = one;
    using _other = other;
    expect(() => sendFds(one, new Uint8Array(0), [])).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
    expect(() => {
      for (;;) sendFds(one, Buffer.alloc(65536), []);
    }).toThrow(expect.objectContaining({ code: 'EAGAIN' }));
  });
});
