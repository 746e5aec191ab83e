/**
 * The least a host can do: frames made beforehand, replies counted and not decoded. What is left
 * of a measured round trip is the kernel and the other side.
 */
import type { Readable, Writable } from 'node:stream';

const HEADER = 16;

export function leanFrame(type: number, payload: string): Buffer {
  const body = Buffer.from(payload);
  const frame = Buffer.alloc(HEADER + body.length);
  frame.writeUInt32LE(type, 0);
  frame.writeUInt32LE(frame.length, 4);
  body.copy(frame, HEADER);
  return frame;
}

/** Takes over a negotiated bridge's socket, or two streams like it. Ids go on from `firstId`. */
export class LeanClient {
  readonly #output: Writable;
  /** Rejects with the connection's end. */
  readonly #ended: Promise<never>;
  #id: bigint;
  #rest: Buffer = Buffer.alloc(0);
  #onReply: () => void = () => {};

  constructor(input: Readable, output: Writable, firstId: bigint) {
    this.#output = output;
    this.#id = firstId;
    this.#ended = new Promise((_, reject) => {
      input.once('close', () => reject(new Error('the other side has closed the connection')));
    });
    this.#ended.catch(() => {});
    input.removeAllListeners('data');
    input.on('data', (chunk: Buffer) => this.#count(chunk)).resume();
  }

  /** Microseconds of each of `count` round trips, one after the other. */
  async sequential(frame: Buffer, count: number): Promise<number[]> {
    const samples: number[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    let sent = performance.now();
    this.#onReply = () => {
      const now = performance.now();
      samples.push((now - sent) * 1000);
      if (samples.length === count) return resolve();
      sent = performance.now();
      this.#send(frame);
    };
    this.#send(frame);
    await Promise.race([promise, this.#ended]);
    return samples;
  }

  /** Requests a second with `window` of them on their way at any time. */
  async windowed(frame: Buffer, count: number, window: number): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<void>();
    let sent = 0;
    let received = 0;
    this.#onReply = () => {
      received += 1;
      if (received === count) return resolve();
      if (sent < count) {
        sent += 1;
        this.#send(frame);
      }
    };
    const started = performance.now();
    // Corked as one write would be: a host with 64 requests does not make 64 system calls either.
    this.#output.cork();
    for (; sent < Math.min(window, count); sent += 1) this.#send(frame);
    this.#output.uncork();
    await Promise.race([promise, this.#ended]);
    return (count / (performance.now() - started)) * 1000;
  }

  #send(frame: Buffer): void {
    const copy = Buffer.from(frame);
    copy.writeBigUInt64LE(this.#id++, 8);
    this.#output.write(copy);
  }

  #count(chunk: Buffer): void {
    let data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#output.cork();
    while (data.length >= HEADER) {
      const size = data.readUInt32LE(4);
      if (data.length < size) break;
      data = data.subarray(size);
      this.#onReply();
    }
    this.#output.uncork();
    this.#rest = data;
  }
}
