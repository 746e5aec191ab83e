/** Netlink messages and their attributes as bytes, netlink(7): in the machine's own byte order. */

/** nlmsghdr: length, type, flags, sequence number, port. */
export const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
/** Flags in an attribute's type: nested, network byte order. */
const TYPE_MASK = 0x3fff;

const littleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function aligned(length: number): number {
  return (length + 3) & ~3;
}

/** Writes one message, without the header, piece by piece. */
export class MessageWriter {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(256);
  #length = 0;

  /** What was written so far. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  u8(...values: number[]): this {
    const at = this.#grow(values.length);
    this.#bytes.set(values, at);
    return this;
  }

  u16(value: number): this {
    const at = this.#grow(2);
    this.#view().setUint16(at, value, littleEndian);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4);
    this.#view().setUint32(at, value, littleEndian);
    return this;
  }

  /** One attribute with these bytes as its value. */
  attribute(type: number, value: Uint8Array): this {
    this.u16(ATTRIBUTE_HEADER_BYTES + value.length).u16(type);
    const at = this.#grow(aligned(value.length));
    this.#bytes.set(value, at);
    return this;
  }

  attributeU32(type: number, value: number): this {
    return this.attribute(type, new Uint8Array(new Uint32Array([value]).buffer));
  }

  /** A text with its NUL. */
  attributeText(type: number, text: string): this {
    return this.attribute(type, Buffer.from(`${text}\0`));
  }

  #view(): DataView {
    return new DataView(this.#bytes.buffer);
  }

  #grow(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return at;
  }
}

/** A whole message. */
export function frame(
  type: number,
  flags: number,
  sequence: number,
  body: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter()
    .u32(HEADER_BYTES + body.length)
    .u16(type)
    .u16(flags);
  const header = writer.u32(sequence).u32(0).bytes;
  const message = new Uint8Array(header.length + body.length);
  message.set(header);
  message.set(body, header.length);
  return message;
}

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function readU16(bytes: Uint8Array, at: number): number {
  return viewOf(bytes).getUint16(at, littleEndian);
}

export function readU32(bytes: Uint8Array, at: number): number {
  return viewOf(bytes).getUint32(at, littleEndian);
}

export function readI32(bytes: Uint8Array, at: number): number {
  return viewOf(bytes).getInt32(at, littleEndian);
}

/** The messages in one datagram of the kernel. */
export function* messagesOf(datagram: Uint8Array): Generator<Message> {
  for (let at = 0; at + HEADER_BYTES <= datagram.length; ) {
    const length = readU32(datagram, at);
    if (length < HEADER_BYTES || at + length > datagram.length) return;
    yield {
      type: readU16(datagram, at + 4),
      flags: readU16(datagram, at + 6),
      sequence: readU32(datagram, at + 8),
      body: datagram.subarray(at + HEADER_BYTES, at + length),
    };
    at += aligned(length);
  }
}

/** The attributes that follow `offset` bytes of a message's own structure; of a type that occurs twice the last. */
export function attributesOf(body: Uint8Array, offset: number): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>();
  for (let at = aligned(offset); at + ATTRIBUTE_HEADER_BYTES <= body.length; ) {
    const length = readU16(body, at);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > body.length) break;
    const type = readU16(body, at + 2) & TYPE_MASK;
    attributes.set(type, body.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length));
    at += aligned(length);
  }
  return attributes;
}

/** The text of an attribute, without its NUL. */
export function textOf(value: Uint8Array): string {
  const end = value.indexOf(0);
  return Buffer.from(value.subarray(0, end < 0 ? value.length : end)).toString('utf8');
}
