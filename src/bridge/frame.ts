import { bridgeLimits } from './limits.ts';
import { describeType } from './message-types.ts';

/** Bytes before the payload: type u32, size of the whole message u32, id u64; little endian. */
export const HEADER_BYTES = 16;

export interface Frame {
  readonly type: number;
  /** u64: a number cannot hold it. */
  readonly id: bigint;
  /** Valid until the decoder is given its next chunk. */
  readonly payload: Buffer;
}

/** The host broke the framing: nothing after this point can be understood. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
  readonly code: 'too-small' | 'too-large';
  /** Of the message whose size is wrong. */
  readonly header: { readonly type: number; readonly id: bigint };

  constructor(code: FrameError['code'], message: string, header: { type: number; id: bigint }) {
    super(message);
    this.code = code;
    this.header = header;
  }
}

/** One message as one buffer, so that it takes one write. */
export function encodeFrame(type: number, id: bigint, payload: string): Buffer {
  const size = HEADER_BYTES + Buffer.byteLength(payload);
  const frame = Buffer.allocUnsafe(size);
  frame.writeUInt32LE(type, 0);
  frame.writeUInt32LE(size, 4);
  frame.writeBigUInt64LE(id, 8);
  frame.write(payload, HEADER_BYTES);
  return frame;
}

/**
 * Cuts a byte stream into messages, whatever the chunks are. Memory follows the bytes that have
 * arrived, never a size a header claims. After a FrameError the decoder must be discarded.
 */
export class FrameDecoder {
  readonly #maxBytes: number;
  /** Bytes of the incomplete message at the front; the first `#length` are filled. */
  #partial: Buffer = Buffer.alloc(0);
  #length = 0;

  /** @param maxBytes largest message accepted, header included. */
  constructor(maxBytes: number = bridgeLimits.frameBytes) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes that wait for the rest of their message: lost when the stream ends now. */
  get buffered(): number {
    return this.#length;
  }

  /** Memory held for them. */
  get capacity(): number {
    return this.#partial.length;
  }

  /** The messages that this chunk completes, lazily. Throws FrameError at the first wrong header. */
  *push(chunk: Buffer): Generator<Frame, void, undefined> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#length > 0) {
        rest = this.#fill(rest);
        const whole = this.#partial.subarray(0, this.#length);
        if (this.#missing(whole) > 0) continue;
        this.#length = 0;
        this.#partial = Buffer.alloc(0);
        yield frameOf(whole);
      } else if (this.#missing(rest) > 0) {
        rest = this.#fill(rest);
      } else {
        const size = rest.readUInt32LE(4);
        yield frameOf(rest.subarray(0, size));
        rest = rest.subarray(size);
      }
    }
  }

  /** Bytes that `bytes`, the start of a message, lacks to the next decision: its header, or its end. */
  #missing(bytes: Buffer): number {
    if (bytes.length < HEADER_BYTES) return HEADER_BYTES - bytes.length;
    const size = bytes.readUInt32LE(4);
    this.#checkSize(size, bytes);
    return size - bytes.length;
  }

  #checkSize(size: number, bytes: Buffer): void {
    if (size >= HEADER_BYTES && size <= this.#maxBytes) return;
    const header = { type: bytes.readUInt32LE(0), id: bytes.readBigUInt64LE(8) };
    const [code, bound] =
      size < HEADER_BYTES
        ? (['too-small', `a message has at least ${HEADER_BYTES}`] as const)
        : (['too-large', `the limit is ${this.#maxBytes}`] as const);
    const text = `invalid message size ${size} in ${describeType(header.type)}: ${bound}`;
    throw new FrameError(code, text, header);
  }

  /** Takes what the incomplete message lacks from `chunk`; returns what is left of the chunk. */
  #fill(chunk: Buffer): Buffer {
    const start = this.#partial.subarray(0, this.#length);
    const taken = Math.min(
      this.#length === 0 ? this.#wanted(chunk) : this.#missing(start),
      chunk.length,
    );
    this.#reserve(this.#length + taken);
    chunk.copy(this.#partial, this.#length, 0, taken);
    this.#length += taken;
    return chunk.subarray(taken);
  }

  /** Bytes of `chunk` that belong to the message it starts; the header first, as it decides the rest. */
  #wanted(chunk: Buffer): number {
    return chunk.length < HEADER_BYTES ? HEADER_BYTES : chunk.readUInt32LE(4);
  }

  /** Grows by doubling: a message that drips in byte by byte is copied a constant number of times. */
  #reserve(bytes: number): void {
    if (bytes <= this.#partial.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(bytes, this.#partial.length * 2, 64));
    this.#partial.copy(grown, 0, 0, this.#length);
    this.#partial = grown;
  }
}

function frameOf(message: Buffer): Frame {
  return {
    type: message.readUInt32LE(0),
    id: message.readBigUInt64LE(8),
    payload: message.subarray(HEADER_BYTES),
  };
}
