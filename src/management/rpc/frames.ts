import { contentLength, FramingError, HEADER_END } from './header.ts';

export interface FrameLimits {
  /** Bytes of a header with its empty line. */
  headerBytes: number;
  /** Bytes of a body. */
  messageBytes: number;
}

const NONE = Buffer.alloc(0);
/** First room for a body that does not come in one piece; doubled as it fills. */
const FIRST_ROOM = 64 * 1024;

/**
 * Cuts a byte stream into message bodies. Both bounds are judged before anything is kept for the
 * message: a header that announces too much ends it at once. What is kept is at most twice what
 * has come, however small the pieces.
 */
export class Frames {
  readonly #limits: FrameLimits;
  /** Of a header that is not complete. */
  #header: Buffer = NONE;
  /** Length of the body that is being read; undefined within a header. */
  #length: number | undefined;
  #body: Buffer = NONE;
  #filled = 0;

  constructor(limits: FrameLimits) {
    this.#limits = limits;
  }

  /** The bodies that `chunk` completes. Throws FramingError, after which the stream is of no use. */
  *push(chunk: Buffer): Generator<Buffer> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#length === undefined) rest = this.#readHeader(rest);
      if (this.#length === undefined) return;
      const taken = rest.subarray(0, this.#length - this.#filled);
      rest = rest.subarray(taken.length);
      const body = this.#fill(taken, this.#length);
      if (body === undefined) return;
      yield body;
    }
  }

  /** The body when `part` completes it. */
  #fill(part: Buffer, length: number): Buffer | undefined {
    const filled = this.#filled + part.length;
    const inOnePiece = part.length === length;
    if (!inOnePiece) {
      if (filled > this.#body.length)
        this.#grow(Math.min(length, Math.max(FIRST_ROOM, 2 * filled)));
      part.copy(this.#body, this.#filled);
      this.#filled = filled;
      if (filled < length) return undefined;
    }
    const body = inOnePiece ? part : this.#body.subarray(0, length);
    this.#length = undefined;
    this.#body = NONE;
    this.#filled = 0;
    return body;
  }

  #grow(room: number): void {
    const body = Buffer.allocUnsafeSlow(room);
    this.#body.copy(body, 0, 0, this.#filled);
    this.#body = body;
  }

  /** What follows the header, empty when it is not complete. */
  #readHeader(chunk: Buffer): Buffer {
    const before = this.#header.length;
    const room = this.#limits.headerBytes - before;
    const known = Buffer.concat([this.#header, chunk.subarray(0, room)]);
    const end = known.indexOf(HEADER_END, Math.max(0, before - HEADER_END.length + 1));
    if (end < 0) {
      if (chunk.length >= room) {
        throw new FramingError(`no end of the header within ${this.#limits.headerBytes} bytes`);
      }
      this.#header = known;
      return NONE;
    }
    const length = contentLength(known.toString('latin1', 0, end));
    if (length > this.#limits.messageBytes) {
      throw new FramingError(
        `a message of ${length} bytes: the most is ${this.#limits.messageBytes}`,
      );
    }
    this.#header = NONE;
    this.#length = length;
    return chunk.subarray(end + HEADER_END.length - before);
  }
}
