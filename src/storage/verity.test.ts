import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verityTree } from '../../test/support/storage/verity-tree.ts';
import { parseVeritySuperblock, readVerity, verityTarget } from './verity.ts';

const BLOCKS = 300;
const SIZE = BLOCKS * 4096;
const salt = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const data = Buffer.from(Uint8Array.from({ length: SIZE }, (_, i) => (i * 7 + (i >> 12)) & 0xff));
/** Of these data and this salt, from veritysetup 2.6.1. */
const ROOT_DIGEST = '6f73f527e61685ee5d502825ccd8a009befe321ec3544a7fca82a6786b47f5db';

let directory: string;
let image: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-verity-'));
  image = join(directory, 'image');
  writeFileSync(image, Buffer.concat([data, verityTree(data, salt).tree]));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe('readVerity', () => {
  test('finds what veritysetup wrote, and its root digest', async () => {
    const info = await readVerity(image, BigInt(SIZE));
    expect(info.rootDigest).toBe(ROOT_DIGEST);
    expect(info).toMatchObject({ algorithm: 'sha256', dataBlocks: 300n, hashStart: 301n });
  });

  test('a file system that does not end at a block is rounded up', async () => {
    const info = await readVerity(image, BigInt(SIZE - 1000));
    expect(info.rootDigest).toBe(ROOT_DIGEST);
  });

  test('hashes that do not cover the file system are refused', async () => {
    const tree = verityTree(data.subarray(0, SIZE - 4096), salt).tree;
    const short = join(directory, 'short');
    writeFileSync(short, Buffer.concat([data, tree]));
    await expect(readVerity(short, BigInt(SIZE))).rejects.toThrow('do not cover');
  });

  test('a device that ends too early is refused', async () => {
    const cut = join(directory, 'cut');
    writeFileSync(cut, Buffer.concat([data, verityTree(data, salt).tree]));
    truncateSync(cut, SIZE + 4096 + 10);
    await expect(readVerity(cut, BigInt(SIZE))).rejects.toThrow('ends before the hashes');
    truncateSync(cut, SIZE);
    await expect(readVerity(cut, BigInt(SIZE))).rejects.toThrow('no superblock');
  });
});

test('the table of the kernel documentation', async () => {
  const target = verityTarget('/dev/sda', await readVerity(image, BigInt(SIZE)));
  expect(target).toEqual({
    start: 0n,
    length: 2400n,
    type: 'verity',
    parameters: `1 /dev/sda /dev/sda 4096 4096 300 301 sha256 ${ROOT_DIGEST} ${salt.toString('hex')}`,
  });
});

describe('parseVeritySuperblock', () => {
  const change = (edit: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(verityTree(data, salt).tree.subarray(0, 512));
    edit(bytes);
    return bytes;
  };

  test.each<[string, (bytes: Buffer) => void]>([
    ['no superblock', (bytes) => bytes.write('x', 0)],
    ['version 2', (bytes) => bytes.writeUInt32LE(2, 8)],
    ['hash type 0', (bytes) => bytes.writeUInt32LE(0, 12)],
    ['algorithm', (bytes) => bytes.write('sha256 x', 32)],
    ['algorithm', (bytes) => bytes.write('nosuch', 32)],
    ['algorithm', (bytes) => bytes.fill(0, 32, 64)],
    ['data block size', (bytes) => bytes.writeUInt32LE(4095, 64)],
    ['data block size', (bytes) => bytes.writeUInt32LE(0, 64)],
    ['hash block size', (bytes) => bytes.writeUInt32LE(2 ** 31, 68)],
    ['no data blocks', (bytes) => bytes.writeBigUInt64LE(0n, 72)],
    ['salt', (bytes) => bytes.writeUInt16LE(257, 80)],
  ])('%s is refused', (why, edit) => {
    expect(() => parseVeritySuperblock(change(edit))).toThrow(why);
  });

  test('a superblock without a salt', () => {
    const bytes = change((b) => b.writeUInt16LE(0, 80));
    expect(parseVeritySuperblock(bytes).salt).toHaveLength(0);
  });
});
