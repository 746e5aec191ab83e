import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type TarItem, tar } from '../../test/support/image/tar.ts';
import { defaultCache, LayerCache } from './layer-cache.ts';
import type { LayerSource } from './layer-disk.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-layers-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const sha256 = (bytes: Buffer) =>
  ({ algorithm: 'sha256', hex: createHash('sha256').update(bytes).digest('hex') }) as const;

/** A layer as an image has it, in pieces of an odd size. */
function layer(plain: Buffer, packed = plain): LayerSource {
  const file = {
    size: packed.length,
    async *read() {
      for (let at = 0; at < packed.length; at += 777) yield packed.subarray(at, at + 777);
    },
  };
  return { diffId: sha256(plain), digest: sha256(packed), file };
}

const items: TarItem[] = [
  { path: 'dir', type: 'dir', mode: 0o1750 },
  { path: 'dir/small', data: 'small', uid: 3, gid: 4, mode: 0o711 },
  { path: 'dir/hard', type: 'link', link: 'dir/small' },
  { path: 'large', data: Buffer.alloc(1_000_000, 'large ') },
  { path: 'block', data: Buffer.alloc(4096, 'b') },
  { path: 'empty' },
  { path: 'link', type: 'symlink', link: 'dir/small' },
  { path: 'long link', type: 'symlink', link: 'x/'.repeat(2000) },
  ...Array.from(
    { length: 1000 },
    (_, n): TarItem => ({ path: `many/${n} ${'n'.repeat(n % 200)}`, data: `${n}` }),
  ),
];
const plain = tar(items);

describe('the disk of a layer', () => {
  test('is a file system that EROFS’s own tool finds whole and takes the same files from', async () => {
    const { path, size } = await new LayerCache(directory).make(layer(plain));
    const extracted = join(directory, 'out');
    execFileSync('fsck.erofs', [`--extract=${extracted}`, '--preserve', path], { stdio: 'pipe' });
    for (const { path: name, data, type, link } of items) {
      const found = join(extracted, name);
      if (type === 'symlink') expect(readlinkSync(found)).toBe(link);
      else if (type === undefined) {
        const content = Buffer.from((data ?? '') as string);
        expect(readFileSync(found).equals(content)).toBe(true);
      }
    }
    expect(lstatSync(join(extracted, 'dir'))).toMatchObject({ mode: 0o041750 });
    expect(lstatSync(join(extracted, 'dir/hard'))).toMatchObject({
      mode: 0o100711,
      uid: 3,
      gid: 4,
    });
    expect(readdirSync(extracted)).toHaveLength(7);
    expect(size % 4096).toBe(0);
  });

  test('has the hash tree that veritysetup verifies, and notices a changed byte', async () => {
    const { path, size, rootDigest } = await new LayerCache(directory).make(layer(plain));
    const verify = (): void => {
      const args = ['verify', `--hash-offset=${size}`, path, path, rootDigest];
      execFileSync('veritysetup', args, { stdio: 'pipe' });
    };
    verify();
    const bytes = readFileSync(path);
    bytes.writeUInt8((bytes[size - 5000] ?? 0) ^ 1, size - 5000);
    writeFileSync(path, bytes);
    expect(verify).toThrow(/[Vv]erification/);
  });

  const half = plain.length >> 1;
  const frames = [plain.subarray(0, half), plain.subarray(half)];
  const skippable = Buffer.from('5a2a4d1803000000616263', 'hex');
  const checksum = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
  test.each([
    ['gzip', gzipSync(plain)],
    ['gzip in several members', Buffer.concat(frames.map((each) => gzipSync(each)))],
    ['zstd', zstdCompressSync(plain)],
    ['zstd with a checksum', zstdCompressSync(plain, checksum)],
    [
      'zstd in several frames, one to be skipped',
      Buffer.concat(frames.flatMap((each) => [zstdCompressSync(each, checksum), skippable])),
    ],
  ])('is the same to the byte when the layer is compressed with %s', async (_, packed) => {
    const one = await new LayerCache(join(directory, 'a')).make(layer(plain));
    const two = await new LayerCache(join(directory, 'b')).make(layer(plain, packed));
    expect(two.rootDigest).toBe(one.rootDigest);
    expect(readFileSync(two.path).equals(readFileSync(one.path))).toBe(true);
  });
});

describe('the cache', () => {
  test('finds what was made, and only that; the first of two is kept', async () => {
    const cache = new LayerCache(directory);
    expect(await cache.find(layer(plain))).toBeUndefined();
    const both = await Promise.all([cache.make(layer(plain)), cache.make(layer(plain))]);
    expect(both[0]).toEqual(both[1]);
    expect(await cache.find(layer(plain))).toEqual(both[0]);
    expect(readdirSync(join(directory, 'v2'))).toHaveLength(1);
  });

  test('keeps nothing of a layer that is refused', async () => {
    const good = layer(plain);
    const wrong = sha256(Buffer.from('x'));
    const cut = plain.subarray(0, 200_000);
    const layers: LayerSource[] = [
      { ...good, diffId: wrong },
      { ...good, digest: wrong },
      layer(plain, gzipSync(plain).subarray(0, 1000)),
      layer(plain, zstdCompressSync(plain).subarray(0, 100)),
      layer(cut),
      layer(tar([{ path: '../x' }])),
      layer(tar([{ path: 'x', xattrs: { 'btrfs.compression': Buffer.from('zstd') } }])),
      layer(Buffer.from('BZh91AY')),
    ];
    for (const each of layers) {
      await expect(new LayerCache(directory).make(each)).rejects.toMatchObject({
        name: 'ImageError',
      });
      expect(readdirSync(join(directory, 'v2'))).toEqual([]);
    }
  });

  test('keeps nothing of a layer that was interrupted', async () => {
    const abort = new AbortController();
    const onProgress = (): void => abort.abort(new Error('interrupted'));
    const made = new LayerCache(directory).make(layer(plain), { onProgress, signal: abort.signal });
    await expect(made).rejects.toThrow('interrupted');
    expect(readdirSync(join(directory, 'v2'))).toEqual([]);
  });

  test('removes what a killed program left, not what a living one makes', async () => {
    const killed = join(directory, 'v2/new-1-0-aaaa');
    const stat = readFileSync(`/proc/${process.pid}/stat`, 'latin1').replace(/.*\) /s, '');
    const living = join(directory, `v2/new-${process.pid}-${stat.split(' ')[19]}-bbbb`);
    for (const each of [killed, living]) mkdirSync(each, { recursive: true });
    await new LayerCache(directory).make(layer(plain));
    expect([existsSync(killed), existsSync(living)]).toEqual([false, true]);
  });

  test('is where the XDG specification has caches', () => {
    expect(defaultCache({ XDG_CACHE_HOME: '/c', HOME: '/h' })).toBe('/c/gcsctl/layers');
    expect(defaultCache({ XDG_CACHE_HOME: 'relative', HOME: '/h' })).toBe(
      '/h/.cache/gcsctl/layers',
    );
  });
});

describe('what a layer says of users', () => {
  const usersOf = async (...entries: TarItem[]) =>
    (await new LayerCache(directory).make(layer(tar(entries)))).users;

  test('the text, that it hides them, nothing, or that nobody knows', async () => {
    expect(await usersOf({ path: './etc/passwd', data: 'x' })).toEqual({
      'etc/passwd': { text: 'x' },
    });
    expect(await usersOf({ path: 'etc/group', data: '' })).toEqual({ 'etc/group': { text: '' } });
    expect(await usersOf({ path: 'etc/.wh.passwd' })).toEqual({ 'etc/passwd': null });
    const both = { 'etc/passwd': null, 'etc/group': null };
    expect(await usersOf({ path: '.wh.etc' })).toEqual(both);
    expect(await usersOf({ path: 'etc/.wh..wh..opq' })).toEqual(both);
    expect(await usersOf({ path: 'etc/x' })).toEqual({});
    const link: TarItem = { path: 'etc/passwd', type: 'symlink', link: 'x' };
    expect(await usersOf(link)).toEqual({ 'etc/passwd': 'unknown' });
  });
});
