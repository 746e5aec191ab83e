import { createHash, getHashes } from 'node:crypto';
import { open } from 'node:fs/promises';
import { AgentError } from '../errors.ts';
import type { DmTarget } from '../os/device-mapper.ts';
import { readAt } from './file-system.ts';

const SECTOR = 512n;
/** The superblock fills one block of this size; then come the hashes. */
const ALIGNMENT = 4096n;
const SUPERBLOCK_SIZE = 512;
const LONGEST_SALT = 256;
const LARGEST_BLOCK = 64 * 1024;

/** What a device's own superblock says of its hash tree, as veritysetup(8) writes it. */
export interface VeritySuperblock {
  /** 1; 0 is the format of Chrome OS. */
  hashType: number;
  algorithm: string;
  dataBlockSize: number;
  hashBlockSize: number;
  dataBlocks: bigint;
  salt: Buffer;
}

export interface VerityInfo extends VeritySuperblock {
  /** Of the topmost block of hashes; hexadecimal. */
  rootDigest: string;
  /** Where the hashes begin, in hash blocks from the beginning of the device. */
  hashStart: bigint;
}

function bad(why: string): AgentError {
  return new AgentError('failed', `dm-verity: ${why}`, { operation: 'read the verity superblock' });
}

function isBlockSize(size: number): boolean {
  return size >= 512 && size <= LARGEST_BLOCK && (size & (size - 1)) === 0;
}

/** The superblock in these bytes, checked. Throws AgentError. */
export function parseVeritySuperblock(bytes: Buffer): VeritySuperblock {
  if (bytes.length < SUPERBLOCK_SIZE || bytes.toString('latin1', 0, 8) !== 'verity\0\0') {
    throw bad('no superblock follows the file system');
  }
  const version = bytes.readUInt32LE(8);
  if (version !== 1) throw bad(`superblock version ${version} is not known`);
  const superblock = {
    hashType: bytes.readUInt32LE(12),
    algorithm: bytes.toString('latin1', 32, 64).replace(/\0.*$/s, ''),
    dataBlockSize: bytes.readUInt32LE(64),
    hashBlockSize: bytes.readUInt32LE(68),
    dataBlocks: bytes.readBigUInt64LE(72),
    salt: bytes.subarray(88, 88 + Math.min(bytes.readUInt16LE(80), LONGEST_SALT)),
  };
  if (superblock.hashType !== 1) throw bad(`hash type ${superblock.hashType} is not known`);
  if (bytes.readUInt16LE(80) > LONGEST_SALT) throw bad('the salt is too long');
  if (!isBlockSize(superblock.dataBlockSize)) throw bad('the data block size is wrong');
  if (!isBlockSize(superblock.hashBlockSize)) throw bad('the hash block size is wrong');
  if (superblock.dataBlocks === 0n) throw bad('there are no data blocks');
  // It goes into a table of words.
  if (!/^[a-z0-9-]+$/.test(superblock.algorithm) || !getHashes().includes(superblock.algorithm)) {
    throw bad(`hash algorithm ${JSON.stringify(superblock.algorithm)} is not known`);
  }
  return superblock;
}

/**
 * Reads the superblock and the topmost hashes that follow a file system of `size` bytes on a
 * device, and computes the root digest: it is what the device claims, and nobody's word but its own.
 */
export async function readVerity(device: string, size: bigint): Promise<VerityInfo> {
  const offset = ((size + ALIGNMENT - 1n) / ALIGNMENT) * ALIGNMENT;
  await using file = await open(device, 'r');
  const superblock = parseVeritySuperblock(await readAt(file, offset, SUPERBLOCK_SIZE));
  const blockSize = BigInt(superblock.hashBlockSize);
  if (superblock.dataBlocks * BigInt(superblock.dataBlockSize) < size) {
    throw bad('the hashes do not cover the file system');
  }
  // The first block boundary behind the superblock.
  const hashStart = (offset + BigInt(SUPERBLOCK_SIZE) + blockSize - 1n) / blockSize;
  const top = await readAt(file, hashStart * blockSize, superblock.hashBlockSize);
  if (top.length < superblock.hashBlockSize) throw bad('the device ends before the hashes');
  const hash = createHash(superblock.algorithm).update(superblock.salt).update(top);
  return { ...superblock, rootDigest: hash.digest('hex'), hashStart };
}

/** The table that checks each block of `device` when it is read; see dm-verity's documentation. */
export function verityTarget(device: string, info: VerityInfo): DmTarget {
  const words = [
    info.hashType,
    device,
    device,
    info.dataBlockSize,
    info.hashBlockSize,
    info.dataBlocks,
    info.hashStart,
    info.algorithm,
    info.rootDigest,
    info.salt.length === 0 ? '-' : info.salt.toString('hex'),
  ];
  return {
    start: 0n,
    length: (info.dataBlocks * BigInt(info.dataBlockSize)) / SECTOR,
    type: 'verity',
    parameters: words.join(' '),
  };
}
