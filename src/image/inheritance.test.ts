import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type TarItem, tar } from '../../test/support/image/tar.ts';
import { ErofsReader } from './erofs-reader.ts';
import { inheriting } from './inheritance.ts';
import { type CachedLayer, LayerCache } from './layer-cache.ts';
import type { LayerSource } from './layer-disk.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-inherit-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function layer(items: readonly TarItem[]): LayerSource {
  const bytes = tar(items);
  const hex = createHash('sha256').update(bytes).digest('hex');
  const file = {
    size: bytes.length,
    async *read() {
      yield bytes;
    },
  };
  return { diffId: { algorithm: 'sha256', hex }, digest: undefined, file };
}

/** The disks of these layers, the lowest first, as "run" makes them. */
async function disksOf(...layers: TarItem[][]): Promise<CachedLayer[]> {
  const cache = new LayerCache(directory);
  const disks: CachedLayer[] = [];
  for (const items of layers) {
    const source = layer(items);
    const disk = (await cache.find(source)) ?? (await cache.make(source));
    disks.push(await inheriting(cache, source, disk, disks));
  }
  return disks;
}

async function topmost(disks: readonly CachedLayer[], path: string) {
  await using reader = await ErofsReader.open(disks.at(-1)?.path ?? '');
  return await reader.directory(path);
}

const base: TarItem[] = [
  { path: 'tmp', type: 'dir', mode: 0o1777, uid: 5, gid: 6, mtime: '-7.5' },
  { path: 'tmp/deep', type: 'dir', mode: 0o700, xattrs: { 'user.x': Buffer.from('value') } },
  ...Array.from({ length: 500 }, (_, n): TarItem => ({ path: `tmp/file number ${n}` })),
];
const PLAIN = { mode: 0o755, uid: 0, gid: 0, mtime: 0, mtimeNs: 0, xattrs: new Map() };

test('a directory without an entry is as the layers below have it, through several', async () => {
  const disks = await disksOf(
    base,
    [{ path: 'tmp/deep/a' }],
    [{ path: 'x' }],
    [{ path: 'tmp/deep/b' }],
  );
  expect(disks[3]?.implied).toEqual(['tmp', 'tmp/deep']);
  expect(await topmost(disks, 'tmp')).toMatchObject({
    ...{ mode: 0o1777, uid: 5, gid: 6, mtime: -8, mtimeNs: 500_000_000 },
  });
  expect(await topmost(disks, 'tmp/deep')).toMatchObject({
    ...{ mode: 0o700, xattrs: new Map([['user.x', Buffer.from('value')]]) },
  });
});

test('on other layers the same layer is another disk', async () => {
  const other: TarItem[] = [{ path: 'tmp', type: 'dir', mode: 0o711 }];
  const one = await disksOf(base, [{ path: 'tmp/a' }]);
  const two = await disksOf(other, [{ path: 'tmp/a' }]);
  expect(one[1]?.rootDigest).not.toBe(two[1]?.rootDigest);
  expect((await disksOf(base, [{ path: 'tmp/a' }]))[1]).toEqual(one[1]);
});

test.each<[string, TarItem[][]]>([
  ['is nowhere below', [[{ path: 'other', type: 'dir' }]]],
  ['was removed', [base, [{ path: '.wh.tmp' }]]],
  ['is a file by now', [base, [{ path: 'tmp' }]]],
  ['lies in one that is opaque', [base, [{ path: '.wh..wh..opq' }]]],
])('a directory that %s has usual attributes', async (_, below) => {
  const disks = await disksOf(...below, [{ path: 'tmp/a' }]);
  expect(await topmost(disks, 'tmp')).toEqual(PLAIN);
});

test('an opaque directory below hides nothing of that layer’s own accord', async () => {
  const hidden: TarItem[] = [
    { path: 'tmp', type: 'dir', mode: 0o700 },
    { path: 'tmp/.wh..wh..opq' },
  ];
  const disks = await disksOf(base, hidden, [{ path: 'tmp/a' }]);
  expect(await topmost(disks, 'tmp')).toMatchObject({ mode: 0o700, xattrs: new Map() });
});

test('an entry that comes after what lies in its directory is one', async () => {
  const disks = await disksOf(base, [{ path: 'tmp/a' }, { path: 'tmp', type: 'dir', mode: 0o500 }]);
  expect(disks[1]?.implied).toEqual([]);
  expect(await topmost(disks, 'tmp')).toMatchObject({ mode: 0o500, uid: 0 });
});
