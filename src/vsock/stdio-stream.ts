import { createReadStream, createWriteStream, fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { Duplex, type Readable, type Writable } from 'node:stream';
import { isatty, ReadStream as TtyReadStream, WriteStream as TtyWriteStream } from 'node:tty';
import type { Fd } from '../os/fd.ts';
import { toDuplex } from '../os/socket.ts';

/** True when both are one socket, as a supervisor that hands over a connection makes them. */
export function isOneSocket(input: Fd, output: Fd): boolean {
  const a = fstatSync(input.raw);
  const b = fstatSync(output.raw);
  return a.isSocket() && b.isSocket() && a.ino === b.ino && a.dev === b.dev;
}

/**
 * One Duplex over a descriptor to read and one to write, of any kind; owns both. Each is closed
 * when its direction has ended: closing the output is what its peer sees as the end of the stream.
 * Terminals are used in the mode they are in; who connects one for the bridge sets it raw.
 */
export class PairedStream extends Duplex {
  readonly #input: Readable;
  readonly #output: Writable;

  constructor(input: Fd, output: Fd) {
    super({ allowHalfOpen: true });
    this.#input = readableOf(input);
    this.#output = writableOf(output);
    this.#input.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) this.#input.pause();
    });
    this.#input.once('end', () => {
      // A socket would stay open for its other direction, which nobody uses.
      this.#input.destroy();
      this.push(null);
    });
    // Until they are destroyed, so that a late error of one that is on its way out is not thrown.
    this.#input.on('error', (error) => this.destroy(error));
    this.#output.on('error', (error) => this.destroy(error));
  }

  override _read(): void {
    this.#input.resume();
  }

  override _write(
    chunk: Buffer,
    encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    this.#output.write(chunk, encoding, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#output.end((error?: Error | null) => {
      this.#output.destroy();
      done(error);
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#input.destroy();
    this.#output.destroy();
    done(error);
  }
}

function readableOf(fd: Fd): Readable {
  const stat = fstatSync(fd.raw);
  if (stat.isSocket()) return toDuplex(fd);
  if (stat.isFIFO()) return new Socket({ fd: fd.take(), readable: true, writable: false });
  if (isatty(fd.raw)) return new TtyReadStream(fd.take());
  // Regular files and devices like /dev/null are always ready: nothing to wait for with epoll(7).
  return createReadStream('', { fd: fd.take() });
}

function writableOf(fd: Fd): Writable {
  const stat = fstatSync(fd.raw);
  if (stat.isSocket()) return toDuplex(fd);
  if (stat.isFIFO()) return new Socket({ fd: fd.take(), readable: false, writable: true });
  if (isatty(fd.raw)) return new TtyWriteStream(fd.take());
  return createWriteStream('', { fd: fd.take() });
}
