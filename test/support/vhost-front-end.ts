import type { Fd } from '../../src/os/fd.ts';
import { connectUnix, receiveFds, sendFds } from '../../src/os/socket.ts';

/** A front-end's connection: one request at a time. */
export class FrontEnd implements Disposable {
  readonly #fd: Fd;

  private constructor(fd: Fd) {
    this.#fd = fd;
  }

  static async connect(path: string): Promise<FrontEnd> {
    return new FrontEnd(await connectUnix(path));
  }

  send(
    request: number,
    payload: Uint8Array = new Uint8Array(),
    fds: readonly Fd[] = [],
    flags = 1,
  ) {
    const header = Buffer.alloc(12);
    header.writeUInt32LE(request, 0);
    header.writeUInt32LE(flags, 4);
    header.writeUInt32LE(payload.length, 8);
    sendFds(this.#fd, Buffer.concat([header, payload]), fds);
  }

  sendBytes(bytes: Uint8Array): void {
    sendFds(this.#fd, bytes, []);
  }

  /** The payload of the answer. Rejects with ECONNRESET when the device has closed. */
  async answer(request: number): Promise<Buffer> {
    const { data } = await receiveFds(this.#fd);
    if (data.readUInt32LE(0) !== request) throw new Error(`answer to ${data.readUInt32LE(0)}`);
    if (data.readUInt32LE(4) !== 5) throw new Error(`answer with flags ${data.readUInt32LE(4)}`);
    if (data.length !== 12 + data.readUInt32LE(8)) throw new Error('answer of another length');
    return Buffer.from(data.subarray(12));
  }

  async ask(request: number, payload?: Uint8Array): Promise<Buffer> {
    this.send(request, payload);
    return this.answer(request);
  }

  /** A request without an answer of its own, with NEED_REPLY; the answer is 0 for success. */
  async tell(request: number, payload: Uint8Array, fds: readonly Fd[] = []): Promise<void> {
    this.send(request, payload, fds, 1 | 8);
    const answer = await this.answer(request);
    if (answer.readBigUInt64LE() !== 0n) throw new Error(`request ${request} failed`);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

export function u64(...values: bigint[]): Buffer {
  const buffer = Buffer.alloc(8 * values.length);
  for (const [index, value] of values.entries()) buffer.writeBigUInt64LE(value, 8 * index);
  return buffer;
}

export function u32(...values: number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) buffer.writeUInt32LE(value >>> 0, 4 * index);
  return buffer;
}
