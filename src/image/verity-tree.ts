import { hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

const BLOCK = 4096;
const DIGEST_BYTES = 32;
const ALGORITHM = 'sha256';
/** Blocks of data read at once. */
const BATCH = 256;
/** As hcsshim's layers have it. It keeps nothing secret here, and the same layer is to give the same bytes. */
const SALT = Buffer.alloc(32);

/**
 * Appends to a file system of `size` bytes, a multiple of 4096, what dm-verity checks it by: the
 * superblock in a block of its own, then the tree of hashes, topmost level first, as
 * veritysetup(8) writes it behind its data. Returns the root digest, hexadecimal.
 */
export async function appendVerity(
  file: FileHandle,
  size: number,
  signal?: AbortSignal,
): Promise<string> {
  const levels = [await hashData(file, size, signal)];
  for (let level = levels[0]; level !== undefined && level.length > BLOCK; level = levels[0]) {
    levels.unshift(hashBlocks(level));
  }
  let position = size;
  for (const bytes of [superblock(size / BLOCK), ...levels]) {
    await writeAll(file, bytes, position);
    position += bytes.length;
  }
  const [top] = levels;
  if (top === undefined) throw new Error('no hashes');
  return digestOf(top).toString('hex');
}

async function hashData(file: FileHandle, size: number, signal?: AbortSignal): Promise<Buffer> {
  const level = Buffer.alloc(padded((size / BLOCK) * DIGEST_BYTES));
  const batch = Buffer.allocUnsafe(BATCH * BLOCK);
  let written = 0;
  for (let at = 0; at < size; ) {
    signal?.throwIfAborted();
    const wanted = Math.min(batch.length, size - at);
    const { bytesRead } = await file.read(batch, 0, wanted, at);
    if (bytesRead !== wanted) throw new Error('the file system was cut while it was read');
    for (let block = 0; block < wanted; block += BLOCK) {
      written += digestOf(batch.subarray(block, block + BLOCK)).copy(level, written);
    }
    at += wanted;
  }
  return level;
}

function hashBlocks(below: Buffer): Buffer {
  const level = Buffer.alloc(padded((below.length / BLOCK) * DIGEST_BYTES));
  let written = 0;
  for (let block = 0; block < below.length; block += BLOCK) {
    written += digestOf(below.subarray(block, block + BLOCK)).copy(level, written);
  }
  return level;
}

const salted = Buffer.concat([SALT, Buffer.alloc(BLOCK)]);

function digestOf(block: Buffer): Buffer {
  block.copy(salted, SALT.length);
  return hash(ALGORITHM, salted, 'buffer');
}

function padded(bytes: number): number {
  return Math.ceil(bytes / BLOCK) * BLOCK;
}

/** struct verity_sb of cryptsetup's lib/verity/verity.c. */
function superblock(blocks: number): Buffer {
  const bytes = Buffer.alloc(BLOCK);
  bytes.write('verity\0\0', 0, 'latin1');
  bytes.writeUInt32LE(1, 8);
  bytes.writeUInt32LE(1, 12);
  bytes.write(ALGORITHM, 32, 'latin1');
  bytes.writeUInt32LE(BLOCK, 64);
  bytes.writeUInt32LE(BLOCK, 68);
  bytes.writeBigUInt64LE(BigInt(blocks), 72);
  bytes.writeUInt16LE(SALT.length, 80);
  SALT.copy(bytes, 88);
  return bytes;
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}
