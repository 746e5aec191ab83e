import { type FileHandle, open } from 'node:fs/promises';

/** File systems that disks may have. */
export const fileSystems = ['ext4', 'xfs', 'erofs', 'squashfs'] as const;
export type FileSystemType = (typeof fileSystems)[number];

export interface FileSystem {
  readonly type: FileSystemType;
  /** Bytes it takes, by its superblock. What follows it on a device is not its own. */
  readonly size: bigint;
}

/** All superblocks looked for are in here. */
const HEAD_SIZE = 4096;
const SQUASHFS_BLOCK = 4096n;
/** Largest block of any of them, as a power of two. */
const MOST_BLOCK_BITS = 16;

/** ext2, ext3 and ext4, which one driver mounts; see the kernel's filesystems/ext4/super.rst. */
function ext4(head: Buffer): bigint | undefined {
  const at = 1024;
  if (head.readUInt16LE(at + 0x38) !== 0xef53) return undefined;
  const logBlockSize = head.readUInt32LE(at + 0x18);
  if (logBlockSize + 10 > MOST_BLOCK_BITS) return undefined;
  const is64bit = (head.readUInt32LE(at + 0x60) & 0x80) !== 0;
  const high = is64bit ? BigInt(head.readUInt32LE(at + 0x150)) : 0n;
  const blocks = (high << 32n) | BigInt(head.readUInt32LE(at + 0x4));
  return blocks << BigInt(logBlockSize + 10);
}

function xfs(head: Buffer): bigint | undefined {
  if (head.toString('latin1', 0, 4) !== 'XFSB') return undefined;
  return BigInt(head.readUInt32BE(4)) * head.readBigUInt64BE(8);
}

function erofs(head: Buffer): bigint | undefined {
  const at = 1024;
  if (head.readUInt32LE(at) !== 0xe0f5e1e2) return undefined;
  const blockBits = head.readUInt8(at + 12);
  if (blockBits > MOST_BLOCK_BITS) return undefined;
  return BigInt(head.readUInt32LE(at + 36)) << BigInt(blockBits);
}

function squashfs(head: Buffer): bigint | undefined {
  if (head.toString('latin1', 0, 4) !== 'hsqs') return undefined;
  const used = head.readBigUInt64LE(40);
  // mksquashfs fills the last block.
  return ((used + SQUASHFS_BLOCK - 1n) / SQUASHFS_BLOCK) * SQUASHFS_BLOCK;
}

/**
 * In this order: where a weaker sign lies (two bytes of ext4) the others may have anything, and
 * the tools that make each of them wipe the signs of those before it.
 */
const parsers: readonly [FileSystemType, (head: Buffer) => bigint | undefined][] = [
  ['squashfs', squashfs],
  ['xfs', xfs],
  ['erofs', erofs],
  ['ext4', ext4],
];

/** The file system whose superblock these first bytes of a device hold. */
export function parseFileSystem(head: Buffer): FileSystem | undefined {
  if (head.length < HEAD_SIZE) return undefined;
  for (const [type, parse] of parsers) {
    const size = parse(head);
    if (size !== undefined) return { type, size };
  }
  return undefined;
}

/** Up to `size` bytes of a device from `offset` on; fewer at its end. */
export async function readAt(file: FileHandle, offset: bigint, size: number): Promise<Buffer> {
  const buffer = Buffer.alloc(size);
  let length = 0;
  while (length < size) {
    const { bytesRead } = await file.read({
      buffer,
      offset: length,
      length: size - length,
      position: offset + BigInt(length),
    });
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

/** The file system on a device; undefined when it has none of those we know. */
export async function findFileSystem(device: string): Promise<FileSystem | undefined> {
  await using file = await open(device, 'r');
  return parseFileSystem(await readAt(file, 0n, HEAD_SIZE));
}
