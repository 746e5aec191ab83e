import { constants } from 'node:os';
import type { ByteChannel, ChannelReceiver, WriteDone } from './byte-channel.ts';
import { OsError } from './errors.ts';
import type { Fd } from './fd.ts';
import { native } from './native.ts';
import { FdPoll, type Readiness } from './poll.ts';
import { WriteQueue } from './write-queue.ts';

const { EAGAIN } = constants.errno;

/** Bytes of one read(2) or write(2). */
const PIECE_BYTES = 64 * 1024;
/** read(2) calls in one turn of the event loop: a busy peer is not to keep everybody else waiting. */
const READS_A_TURN = 16;

let scratch: Buffer | undefined;

/** A {@link ByteChannel} on a stream socket, non-blocking, of any family. */
export class SocketChannel implements ByteChannel {
  readonly #fd: Fd;
  readonly #queue = new WriteQueue();
  #receiver: ChannelReceiver | undefined;
  #poll: FdPoll | undefined;
  /** The receiver wants bytes. */
  #wanted = true;
  /** The peer has sent its last byte. */
  #ended = false;
  /** The kernel took no more: it will say when it does. */
  #full = false;
  #destroyed = false;

  /** Owns `fd` from now on. */
  constructor(fd: Fd) {
    this.#fd = fd;
  }

  open(receiver: ChannelReceiver): void {
    this.#receiver = receiver;
    this.#poll = new FdPoll(this.#fd.raw, { read: true }, (ready) => this.#ready(ready));
    this.#watch();
  }

  get unwritten(): number {
    return this.#queue.bytes;
  }

  pause(): void {
    this.#wanted = false;
    this.#watch();
  }

  resume(): void {
    this.#wanted = true;
    this.#watch();
  }

  write(bytes: Buffer, done: WriteDone): void {
    if (this.#destroyed) done(new Error('the connection is closed'));
    else this.#queue.add(bytes, done);
  }

  flush(): void {
    if (!this.#full) this.#send();
  }

  destroy(): void {
    this.#close(undefined);
  }

  #watch(): void {
    if (this.#destroyed) return;
    this.#poll?.want({ read: this.#wanted && !this.#ended, write: this.#full });
  }

  #ready({ readable, writable }: Readiness): void {
    if (writable) this.#send();
    if (readable) this.#receive();
  }

  #receive(): void {
    scratch ??= Buffer.allocUnsafeSlow(PIECE_BYTES);
    for (let reads = 0; reads < READS_A_TURN; reads += 1) {
      if (this.#destroyed || !this.#wanted || this.#ended) return;
      const count = native().readBytes(this.#fd.raw, scratch);
      if (count === -EAGAIN) return;
      if (count <= 0) {
        this.#noMore(count);
        return;
      }
      this.#receiver?.data(Buffer.from(scratch.subarray(0, count)));
      // What comes after a short read is told again.
      if (count < PIECE_BYTES) return;
    }
  }

  #noMore(result: number): void {
    if (result < 0) {
      this.#close(new OsError('read', -result));
      return;
    }
    this.#ended = true;
    this.#watch();
    this.#receiver?.end();
  }

  #send(): void {
    while (!this.#destroyed && this.#queue.bytes > 0) {
      const count = native().writeBytes(this.#fd.raw, this.#queue.next(PIECE_BYTES));
      if (count === -EAGAIN) this.#full = true;
      else if (count < 0) this.#close(new OsError('write', -count));
      if (count < 0) {
        this.#watch();
        return;
      }
      this.#queue.taken(count);
    }
    if (this.#destroyed || !this.#full) return;
    this.#full = false;
    this.#watch();
    this.#receiver?.drained();
  }

  #close(error: Error | undefined): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#poll?.close();
    this.#fd.close();
    this.#queue.fail(error ?? new Error('the connection is closed'));
    this.#receiver?.closed(error);
  }
}
