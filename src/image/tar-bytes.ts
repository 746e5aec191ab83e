import { ImageError } from './errors.ts';

/** Bytes in order; those of a file can be passed over without being read. */
export interface ByteSource extends AsyncIterable<Uint8Array> {
  skip?(bytes: number): void;
}

/** Bytes of a stream, taken in the pieces a format has. Closes the stream when it is disposed of. */
export class ByteQueue implements AsyncDisposable {
  /** Bytes taken or skipped so far. */
  position = 0;
  readonly #source: ByteSource;
  readonly #iterator: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(source: ByteSource) {
    this.#source = source;
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** Exactly `size` bytes; undefined at the end. Throws ImageError when the source ends within them. */
  async take(size: number): Promise<Buffer | undefined> {
    if (this.#chunk.length >= size) return this.#split(size);
    const parts: Buffer[] = [];
    let missing = size;
    while (missing > 0) {
      const part = await this.next(missing);
      if (part === undefined) {
        if (missing === size) return undefined;
        throw new ImageError('corrupt', 'the archive ends too early');
      }
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** At most `most` bytes, at least one; undefined at the end. */
  async next(most: number): Promise<Buffer | undefined> {
    while (this.#chunk.length === 0) {
      const { done, value } = await this.#iterator.next();
      if (done === true) return undefined;
      this.#chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    return this.#split(Math.min(most, this.#chunk.length));
  }

  async skip(size: number): Promise<void> {
    for (let missing = size; missing > 0; ) {
      if (this.#chunk.length === 0 && this.#source.skip !== undefined) {
        this.#source.skip(missing);
        this.position += missing;
        return;
      }
      const part = await this.next(missing);
      if (part === undefined) throw new ImageError('corrupt', 'the archive ends too early');
      missing -= part.length;
    }
  }

  /** Everything there is still, so that who counts or hashes the source has seen all of it. */
  async drain(): Promise<void> {
    if (this.#source.skip !== undefined) return;
    while ((await this.next(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  /** The next `size` bytes as something to read once, or to skip. */
  section(size: number): Section {
    return new Section(this, size);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#iterator.return?.();
  }

  #split(size: number): Buffer {
    const taken = this.#chunk.subarray(0, size);
    this.#chunk = this.#chunk.subarray(size);
    this.position += size;
    return taken;
  }
}

class Section {
  readonly #queue: ByteQueue;
  #left: number;

  constructor(queue: ByteQueue, size: number) {
    this.#queue = queue;
    this.#left = size;
  }

  async *read(): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      const part = await this.#queue.next(this.#left);
      if (part === undefined) throw new ImageError('corrupt', 'the archive ends too early');
      this.#left -= part.length;
      yield part;
    }
  }

  async skip(): Promise<void> {
    const size = this.#left;
    this.#left = 0;
    await this.#queue.skip(size);
  }
}
