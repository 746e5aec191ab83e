import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ByteChannel } from './byte-channel.ts';
import { DuplexChannel } from './duplex-channel.ts';
import type { Fd } from './fd.ts';
import { shutdown, socketPair, toDuplex } from './socket.ts';
import { SocketChannel } from './socket-channel.ts';

/** One end, with what came over it. */
class End {
  readonly channel: ByteChannel;
  readonly closed = Promise.withResolvers<Error | undefined>();
  readonly ended = Promise.withResolvers<void>();
  readonly #hash = createHash('sha256');
  received = '';
  bytes = 0;
  drains = 0;
  #waiting: { bytes: number; resolve: () => void } | undefined;

  constructor(channel: ByteChannel) {
    this.channel = channel;
    channel.open({
      data: (piece) => {
        this.#hash.update(piece);
        this.bytes += piece.length;
        if (this.received.length < 100) this.received += piece.toString('latin1');
        if (this.#waiting !== undefined && this.bytes >= this.#waiting.bytes)
          this.#waiting.resolve();
      },
      end: () => this.ended.resolve(),
      drained: () => {
        this.drains += 1;
      },
      closed: (error) => this.closed.resolve(error),
    });
  }

  until(bytes: number): Promise<void> {
    if (this.bytes >= bytes) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting = { bytes, resolve };
    });
  }

  get digest(): string {
    return this.#hash.digest('hex');
  }

  send(bytes: Buffer | string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.channel.write(Buffer.from(bytes), (error) =>
        error === undefined ? resolve() : reject(error),
      );
      this.channel.flush();
    });
  }
}

describe.each([
  ['a socket', (fd: Fd) => new SocketChannel(fd)],
  ['a Duplex', (fd: Fd) => new DuplexChannel(toDuplex(fd))],
])('a channel on %s', (_name, make) => {
  let raw: [Fd, Fd];
  let one: End;
  let other: End;
  beforeEach(() => {
    raw = socketPair();
    [one, other] = [new End(make(raw[0])), new End(new SocketChannel(raw[1]))];
  });
  afterEach(() => {
    one.channel.destroy();
    other.channel.destroy();
  });

  test('what is written goes out in order when it is flushed', async () => {
    const told: string[] = [];
    for (const text of ['a', 'b', 'c']) {
      one.channel.write(Buffer.from(text), () => told.push(text));
    }
    await turn();
    expect(one.channel.unwritten).toBe(3);
    expect(other.received).toBe('');
    one.channel.flush();
    await other.until(3);
    expect(other.received).toBe('abc');
    await expect.poll(() => told).toEqual(['a', 'b', 'c']);
    expect(one.channel.unwritten).toBe(0);
  });

  test('megabytes of pieces of every size arrive as they are, both ways at once', async () => {
    const bytes = Buffer.alloc(8 * 1024 * 1024, 'more than the kernel takes at once. ');
    const send = async (end: End): Promise<void> => {
      let start = 0;
      const sent: Promise<void>[] = [];
      for (let size = 1; start < bytes.length; size = (size * 7) % 200_003) {
        sent.push(end.send(bytes.subarray(start, start + size)));
        start += size;
      }
      await Promise.all(sent);
    };
    await Promise.all([send(one), send(other), one.until(bytes.length), other.until(bytes.length)]);
    const digest = createHash('sha256').update(bytes).digest('hex');
    expect([one.digest, other.digest]).toEqual([digest, digest]);
  });

  test('while it is paused nothing is read, and the writer is told when all is gone', async () => {
    one.channel.pause();
    const bytes = Buffer.alloc(4 * 1024 * 1024, 1);
    let sent = false;
    const done = other.send(bytes).then(() => {
      sent = true;
    });
    await turn();
    await turn();
    expect({ sent, bytes: one.bytes, drains: other.drains }).toMatchObject({
      sent: false,
      drains: 0,
    });
    expect(other.channel.unwritten).toBeGreaterThan(0);
    one.channel.resume();
    await done;
    await one.until(bytes.length);
    expect(other.drains).toBe(1);
  });

  test('the end of the peer is told after its last byte, and the way back stays open', async () => {
    await other.send('last');
    shutdown(raw[1], 'write');
    await one.ended.promise;
    expect(one.received).toBe('last');
    await one.send('answer');
    await other.until(6);
    expect(other.received).toBe('answer');
  });

  test('a peer that is gone fails what was not taken', async () => {
    other.channel.destroy();
    await one.ended.promise;
    await expect(one.send('x')).rejects.toThrow(/EPIPE/);
    expect(await one.closed.promise).toMatchObject({ code: 'EPIPE' });
    await expect(one.send('y')).rejects.toThrow();
  });

  test('destroyed it fails what was not taken, and says so once', async () => {
    other.channel.pause();
    const lost = one.send(Buffer.alloc(4 * 1024 * 1024));
    one.channel.destroy();
    await expect(lost).rejects.toThrow();
    expect(await one.closed.promise).toBeUndefined();
    one.channel.destroy();
  });
});

test('who is told that its bytes are gone may end the channel', async () => {
  const [fd, peer] = socketPair();
  using _peer = peer;
  const end = new End(new SocketChannel(fd));
  const told: string[] = [];
  end.channel.write(Buffer.from('a'), () => {
    told.push('a');
    end.channel.destroy();
  });
  end.channel.write(Buffer.from('b'), (error) => told.push(`b ${error === undefined}`));
  end.channel.flush();
  expect(told).toEqual(['a', 'b true']);
  expect(await end.closed.promise).toBeUndefined();
});
