/** Bounds that only large images reach. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { encode, tar } from '../../test/support/image/tar.ts';
import { openImage } from './image.ts';
import { buildLayerDisk } from './layer-disk.ts';
import { LayerTree } from './layer-tree.ts';
import { imageLimits } from './limits.ts';
import { readTar } from './tar.ts';
import type { TarEntry } from './tar-entry.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-bounds-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('an archive of too many members', async () => {
  const one = encode({ path: 'x' });
  const file = join(directory, 'image.tar');
  const { archiveMembers } = imageLimits;
  writeFileSync(file, Buffer.alloc(one.length * (archiveMembers + 1), one));
  await expect(openImage(file)).rejects.toThrow(`more than ${archiveMembers} members`);
}, 60_000);

async function oneEntry(): Promise<TarEntry> {
  async function* bytes(): AsyncGenerator<Buffer> {
    yield tar([{ path: 'x' }]);
  }
  for await (const { entry } of readTar(bytes())) return entry;
  throw new Error('no entry');
}

test('a layer of too many entries, also of one name', async () => {
  const tree = new LayerTree();
  const entry = await oneEntry();
  for (let n = 0; n < imageLimits.layerEntries; n++) tree.add(entry, { kind: 'none' });
  expect(() => tree.add(entry, { kind: 'none' })).toThrow('one entry too many');
}, 60_000);

test('a layer whose entries imply too many directories', async () => {
  const tree = new LayerTree();
  const entry = await oneEntry();
  const add = (): void => {
    for (let n = 0; n <= imageLimits.impliedDirectories / 1000; n++) {
      tree.add({ ...entry, name: `${n}/${'d/'.repeat(1000)}` }, { kind: 'none' });
    }
  };
  expect(add).toThrow('without an entry too many');
});

test('a layer whose names, links and attributes are too many bytes', async () => {
  const tree = new LayerTree();
  const entry = { ...(await oneEntry()), xattrs: new Map([['user.x', Buffer.alloc(65_000)]]) };
  const add = (): void => {
    for (let bytes = 0; bytes <= imageLimits.metadataBytes; bytes += 65_000) {
      tree.add(entry, { kind: 'none' });
    }
  };
  expect(add).toThrow('is too much');
});

test('a layer that unpacks to more than it may is given up there', async () => {
  const plain = tar([{ path: 'bomb', data: Buffer.alloc(32 * 1024 ** 2) }]);
  const packed = gzipSync(plain);
  const diffId = {
    algorithm: 'sha256',
    hex: createHash('sha256').update(plain).digest('hex'),
  } as const;
  const file = {
    size: packed.length,
    async *read() {
      yield packed;
    },
  };
  const target = join(directory, 'disk');
  await using disk = await open(target, 'wx+');
  const made = buildLayerDisk({ diffId, digest: undefined, file }, disk, { mostBytes: 1024 ** 2 });
  await expect(made).rejects.toThrow('unpacks to more than 1048576 bytes');
  expect((await disk.stat()).size).toBeLessThan(2 * 1024 ** 2);
});
