import type { FileHandle } from 'node:fs/promises';

export const BLOCK = 4096;
const BUFFER_BYTES = 1024 * 1024;

/** Appends to a file through one buffer. */
export class BlockWriter {
  readonly #file: FileHandle;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #used = 0;
  #written = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Bytes so far. */
  get position(): number {
    return this.#written + this.#used;
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#used === BUFFER_BYTES) await this.flush();
      const part = bytes.subarray(at, at + BUFFER_BYTES - this.#used);
      this.#buffer.set(part, this.#used);
      this.#used += part.length;
      at += part.length;
    }
  }

  /** Zeros up to the next multiple of `unit`. */
  async align(unit: number): Promise<void> {
    const missing = (unit - (this.position % unit)) % unit;
    if (missing > 0) await this.append(Buffer.alloc(missing));
  }

  async flush(): Promise<void> {
    let at = 0;
    while (at < this.#used) {
      const position = this.#written + at;
      const { bytesWritten } = await this.#file.write(this.#buffer, at, this.#used - at, position);
      at += bytesWritten;
    }
    this.#written += this.#used;
    this.#used = 0;
  }
}
