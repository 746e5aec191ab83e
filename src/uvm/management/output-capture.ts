import { constants } from 'node:os';
import { check } from '../../os/errors.ts';
import type { Fd } from '../../os/fd.ts';
import { native } from '../../os/native.ts';
import { setNonBlock } from '../../os/pipe.ts';
import { FdPoll } from '../../os/poll.ts';

const { EAGAIN, EIO } = constants.errno;
const chunkBytes = 65_536;

/**
 * Keeps the beginning of what is written to a pipe or terminal and drops the rest, so that whoever
 * writes is never held up.
 */
export class OutputCapture implements Disposable {
  /** Resolves at the end of the stream: nobody can write to it any more. */
  readonly ended: Promise<void>;
  readonly #source: Fd;
  readonly #limit: number;
  readonly #chunks: Buffer[] = [];
  readonly #poll: FdPoll;
  readonly #end = Promise.withResolvers<void>();
  #kept = 0;
  #truncated = false;
  #done = false;

  /** Owns `source`, also when this throws. */
  constructor(source: Fd, limit: number) {
    this.#source = source;
    this.#limit = limit;
    this.ended = this.#end.promise;
    try {
      setNonBlock(source, true);
      this.#poll = new FdPoll(source.raw, { read: true }, () => this.#read());
    } catch (error) {
      source.close();
      throw error;
    }
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  /** More was written than is kept. */
  get truncated(): boolean {
    return this.#truncated;
  }

  get done(): boolean {
    return this.#done;
  }

  #read(): void {
    const chunk = Buffer.allocUnsafe(chunkBytes);
    const length = native().readBytes(this.#source.raw, chunk);
    if (length === -EAGAIN) return;
    // A terminal's last slave was closed, pty(7).
    if (length === 0 || length === -EIO) {
      this.#finish();
      return;
    }
    try {
      this.#keep(chunk, check('read', length));
    } catch {
      // A pipe or pty gives no other error; whatever it is, no more can be read.
      this.#finish();
    }
  }

  #keep(chunk: Buffer, length: number): void {
    const room = Math.min(length, this.#limit - this.#kept);
    if (room < length) this.#truncated = true;
    if (room === 0) return;
    // A copy of its own size: a chunk may hold few bytes.
    this.#chunks.push(Buffer.from(chunk.subarray(0, room)));
    this.#kept += room;
  }

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#poll.close();
    this.#source.close();
    this.#end.resolve();
  }

  /** Reads no more: who writes from now on gets EPIPE, or is hung up. */
  [Symbol.dispose](): void {
    this.#finish();
  }
}
