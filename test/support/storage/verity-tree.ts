/** Hash trees as veritysetup(8) writes them behind a file system, for tests. */
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync } from 'node:fs';

const BLOCK = 4096;

function hashBlocks(data: Buffer, salt: Buffer): Buffer {
  const hashes: Buffer[] = [];
  for (let at = 0; at < data.length; at += BLOCK) {
    hashes.push(
      createHash('sha256')
        .update(salt)
        .update(data.subarray(at, at + BLOCK))
        .digest(),
    );
  }
  const level = Buffer.concat(hashes);
  const padding = (BLOCK - (level.length % BLOCK)) % BLOCK;
  return Buffer.concat([level, Buffer.alloc(padding)]);
}

/** The superblock in a block of its own, then the hashes, topmost level first. */
export function verityTree(data: Buffer, salt: Buffer): { tree: Buffer; rootDigest: string } {
  const superblock = Buffer.alloc(BLOCK);
  superblock.write('verity\0\0', 0, 'latin1');
  superblock.writeUInt32LE(1, 8);
  superblock.writeUInt32LE(1, 12);
  superblock.write('sha256', 32, 'latin1');
  superblock.writeUInt32LE(BLOCK, 64);
  superblock.writeUInt32LE(BLOCK, 68);
  superblock.writeBigUInt64LE(BigInt(data.length / BLOCK), 72);
  superblock.writeUInt16LE(salt.length, 80);
  salt.copy(superblock, 88);
  const levels: Buffer[] = [];
  for (let level = data; levels.length === 0 || level.length > BLOCK; ) {
    level = hashBlocks(level, salt);
    levels.unshift(level);
  }
  const [top = Buffer.alloc(0)] = levels;
  const rootDigest = createHash('sha256').update(salt).update(top).digest('hex');
  return { tree: Buffer.concat([superblock, ...levels]), rootDigest };
}

/** Appends the tree of a whole image to it. Its size must be a multiple of 4096. Returns the root digest. */
export function appendVerity(file: string, salt: Buffer = Buffer.alloc(32, 7)): string {
  const { tree, rootDigest } = verityTree(readFileSync(file), salt);
  appendFileSync(file, tree);
  return rootDigest;
}
