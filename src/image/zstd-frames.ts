import { ByteQueue } from './tar-bytes.ts';

const FRAME = 0xfd2fb528;
/** With the last four bits free. */
const SKIPPABLE = 0x184d2a50;
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;
const RUN_LENGTH_BLOCK = 1;

/**
 * The same bytes in pieces that never reach across the end of a frame. zlib's stream takes what
 * follows a frame within one piece for garbage, but goes on with a frame that a piece begins with;
 * tools that compress in parts write many. Format: RFC 8878, section 3.1.
 */
export async function* zstdFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  await using queue = new ByteQueue(source);
  for (;;) {
    const magic = await queue.take(4);
    if (magic === undefined) return;
    yield magic;
    const kind = magic.readUInt32LE();
    if (kind === FRAME) yield* frame(queue);
    else if ((kind & ~0xf) >>> 0 === SKIPPABLE) {
      const size = await queue.take(4);
      if (size === undefined) return;
      yield size;
      yield* queue.section(size.readUInt32LE()).read();
    } else {
      // Whoever decompresses it will say that it is none.
      yield* rest(queue);
    }
  }
}

async function* frame(queue: ByteQueue): AsyncGenerator<Buffer> {
  const first = await queue.take(1);
  if (first === undefined) return;
  yield first;
  const flags = first[0] ?? 0;
  const single = (flags & 0x20) !== 0;
  const sizeFlag = flags >> 6;
  const sizeBytes = sizeFlag === 0 && single ? 1 : (CONTENT_SIZE_BYTES[sizeFlag] ?? 0);
  const more = (single ? 0 : 1) + (DICTIONARY_BYTES[flags & 3] ?? 0) + sizeBytes;
  yield* queue.section(more).read();
  for (let last = false; !last; ) {
    const header = await queue.take(3);
    if (header === undefined) return;
    yield header;
    const word = header.readUIntLE(0, 3);
    last = (word & 1) !== 0;
    const type = (word >> 1) & 3;
    yield* queue.section(type === RUN_LENGTH_BLOCK ? 1 : word >> 3).read();
  }
  if ((flags & 4) !== 0) yield* queue.section(4).read();
}

async function* rest(queue: ByteQueue): AsyncGenerator<Buffer> {
  for (;;) {
    const part = await queue.next(Number.MAX_SAFE_INTEGER);
    if (part === undefined) return;
    yield part;
  }
}
