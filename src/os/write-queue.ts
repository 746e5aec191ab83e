import type { WriteDone } from './byte-channel.ts';

interface Pending {
  readonly bytes: Buffer;
  readonly done: WriteDone;
}

/** Bytes on their way out, in order, each with who wants to know when they are gone. */
export class WriteQueue {
  /** From `#first` on; what lies before is cut off now and then. */
  #entries: Pending[] = [];
  #first = 0;
  /** Of the first entry, gone already. */
  #sent = 0;
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  add(bytes: Buffer, done: WriteDone): void {
    this.#entries.push({ bytes, done });
    this.#bytes += bytes.length;
  }

  /** What comes next: about `size` bytes where there are as many, in one piece. Not to be called when there is nothing. */
  next(size: number): Buffer {
    const pieces: Buffer[] = [];
    let length = 0;
    for (let index = this.#first; index < this.#entries.length && length < size; index += 1) {
      const { bytes } = this.#at(index);
      const piece = index === this.#first ? bytes.subarray(this.#sent) : bytes;
      pieces.push(piece);
      length += piece.length;
    }
    const [only] = pieces;
    return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces, length);
  }

  /** So many bytes are gone: tells those whose last byte was among them. */
  taken(count: number): void {
    this.#bytes -= count;
    let left = count + this.#sent;
    const done: WriteDone[] = [];
    while (this.#first < this.#entries.length && this.#at(this.#first).bytes.length <= left) {
      const entry = this.#at(this.#first);
      left -= entry.bytes.length;
      done.push(entry.done);
      this.#first += 1;
    }
    this.#sent = left;
    if (this.#first * 2 > this.#entries.length) {
      this.#entries.splice(0, this.#first);
      this.#first = 0;
    }
    for (const tell of done) tell();
  }

  /** Gives up what is left. */
  fail(error: Error): void {
    const left = this.#entries.slice(this.#first);
    this.#entries = [];
    this.#first = this.#sent = this.#bytes = 0;
    for (const { done } of left) done(error);
  }

  #at(index: number): Pending {
    const entry = this.#entries[index];
    if (entry === undefined) throw new RangeError('nothing is queued');
    return entry;
  }
}
