import type { FileHandle } from 'node:fs/promises';
import { ImageError } from './errors.ts';
import type { ByteSource } from './tar-bytes.ts';

const CHUNK = 256 * 1024;

/** A part of a file, in order. The file stays its owner's. */
export class FileBytes implements ByteSource {
  readonly #file: FileHandle;
  readonly #end: number;
  #position: number;

  constructor(file: FileHandle, offset = 0, size = Number.POSITIVE_INFINITY) {
    this.#file = file;
    this.#position = offset;
    this.#end = offset + size;
  }

  skip(bytes: number): void {
    this.#position += bytes;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    while (this.#position < this.#end) {
      const wanted = Math.min(CHUNK, this.#end - this.#position);
      const buffer = Buffer.allocUnsafe(wanted);
      const { bytesRead } = await this.#file.read(buffer, 0, wanted, this.#position);
      if (bytesRead === 0) {
        if (this.#end === Number.POSITIVE_INFINITY) return;
        throw new ImageError('corrupt', 'the image ends within one of its files');
      }
      this.#position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }
}
