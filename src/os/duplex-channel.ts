import type { Duplex } from 'node:stream';
import type { ByteChannel, ChannelReceiver, WriteDone } from './byte-channel.ts';

/** A {@link ByteChannel} on a Duplex, for what is not one socket. */
export class DuplexChannel implements ByteChannel {
  readonly #stream: Duplex;
  #corked = false;

  /** Owns the stream from now on. */
  constructor(stream: Duplex) {
    this.#stream = stream;
  }

  open(receiver: ChannelReceiver): void {
    const stream = this.#stream;
    let failure: Error | undefined;
    stream.on('error', (error) => {
      failure = error;
    });
    stream.on('close', () => receiver.closed(failure));
    stream.on('end', () => receiver.end());
    stream.on('drain', () => receiver.drained());
    stream.on('data', (bytes: Buffer) => receiver.data(bytes));
  }

  get unwritten(): number {
    return this.#stream.writableLength;
  }

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  write(bytes: Buffer, done: WriteDone): void {
    if (!this.#corked) this.#stream.cork();
    this.#corked = true;
    this.#stream.write(bytes, (error) => done(error ?? undefined));
  }

  flush(): void {
    if (this.#corked) this.#stream.uncork();
    this.#corked = false;
  }

  destroy(): void {
    this.#stream.destroy();
  }
}
