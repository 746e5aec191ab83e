import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  dockerSave,
  dockerSaveOci,
  type Files,
  ociLayout,
  sha256,
  type TestImage,
  writeArchive,
  writeDirectory,
} from '../../test/support/image/forms.ts';
import { tar } from '../../test/support/image/tar.ts';
import { type ImageChoice, openImage } from './image.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-image-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const layers = ['one', 'two'].map((data) => ({ tar: tar([{ path: data, data }]) }));
const image: TestImage = { layers, config: { Cmd: ['x'] }, name: 'name:1' };
const other: TestImage = { layers, config: { Cmd: ['y'] }, name: 'name:2' };
const arm: TestImage = { ...image, architecture: 'riscv64', config: { Cmd: ['riscv'] } };

async function commandOf(path: string, choice?: ImageChoice): Promise<readonly string[]> {
  await using opened = await openImage(path, choice);
  const ids = opened.layers.map(({ diffId }) => diffId.hex);
  expect(ids).toEqual(layers.map((layer) => sha256(layer.tar)));
  return opened.config.process.command;
}

const asDirectory = (files: Files): string => writeDirectory(join(directory, 'image'), files);
const asArchive = (files: Files): string => writeArchive(join(directory, 'image.tar'), files);

describe('forms', () => {
  test.each([
    ['an OCI layout', (): string => asDirectory(ociLayout([image]))],
    ['a tar of it', (): string => asArchive(ociLayout([image]))],
    ['an index within the index', (): string => asArchive(ociLayout([image], true))],
    ['an old archive of docker save', (): string => asArchive(dockerSave([image]))],
    ['the same, unpacked', (): string => asDirectory(dockerSave([image]))],
    ['a new one', (): string => asArchive(dockerSaveOci(image))],
  ])('%s', async (_, make) => {
    expect(await commandOf(make())).toEqual(['x']);
  });

  test('an old archive links a layer to one that is the same', async () => {
    const files = dockerSave([{ layers: [layers[0], layers[1]].flatMap((each) => each ?? []) }]);
    const [first = ''] = [...files.keys()].filter((path) => path.endsWith('layer.tar'));
    const content = files.get(first) ?? Buffer.alloc(0);
    files.delete(first);
    files.set('other/layer.tar', content);
    const file = join(directory, 'linked.tar');
    writeArchive(file, files, [{ path: first, type: 'symlink', link: '../other/layer.tar' }]);
    await using opened = await openImage(file);
    expect(opened.layers[0]?.file.size).toBe(content.length);
  });
});

describe('one of several', () => {
  test('by platform', async () => {
    const path = asDirectory(ociLayout([image, arm]));
    expect(await commandOf(path)).toEqual(['x']);
    const platform = { os: 'linux', architecture: 'riscv64', variant: '' };
    expect(await commandOf(path, { platform })).toEqual(['riscv']);
    const none = { os: 'linux', architecture: 'mips', variant: '' };
    await expect(openImage(path, { platform: none })).rejects.toThrow(
      /for linux\/mips; there are: .*riscv64/,
    );
  });

  test.each([
    ['layout', () => asDirectory(ociLayout([image, other]))],
    ['archive', () => asArchive(dockerSave([image, other]))],
  ])('by name, in a %s', async (_, make) => {
    const path = make();
    expect(await commandOf(path, { name: 'name:2' })).toEqual(['y']);
    await expect(openImage(path)).rejects.toMatchObject({ code: 'no-match' });
    await expect(openImage(path)).rejects.toThrow('name:1, name:2');
    await expect(openImage(path, { name: 'name:3' })).rejects.toMatchObject({ code: 'no-match' });
  });

  test('an archive for another processor says so', async () => {
    const path = asArchive(dockerSave([arm]));
    await expect(openImage(path)).rejects.toThrow(/is for linux\/riscv64, not for/);
  });
});

function edited(
  files: Files,
  name: string,
  change: (value: Record<string, unknown>) => unknown,
): Files {
  const value = JSON.parse(String(files.get(name))) as Record<string, unknown>;
  return files.set(name, Buffer.from(JSON.stringify(change(value))));
}

const saved = (change: (entry: Record<string, unknown>) => void): Files =>
  edited(dockerSave([image]), 'manifest.json', (value) => {
    const [entry] = value as unknown as Record<string, unknown>[];
    change(entry ?? {});
    return [entry];
  });

describe('refused', () => {
  const cases: [why: string, make: () => string, message: RegExp][] = [
    ['a file that is no archive', () => plain(Buffer.from('x')), /neither a directory nor a tar/],
    [
      'an archive with something else',
      () => asArchive(new Map([['x', Buffer.from('y')]])),
      /is no image/,
    ],
    [
      'an archive compressed as a whole',
      () => plain(gzipSync('x')),
      /compressed with gzip as a whole/,
    ],
    ['a manifest that was changed', () => asDirectory(changedManifest()), /it was changed/],
    ['a blob that is missing', () => asDirectory(without()), /is missing/],
    [
      'a layer by an absolute path',
      () => asArchive(saved((e) => Object.assign(e, { Layers: ['/etc/passwd', 'x'] }))),
      /leads out/,
    ],
    [
      'a layer by ".."',
      () => asDirectory(saved((e) => Object.assign(e, { Layers: ['../x', 'x'] }))),
      /leads out/,
    ],
    [
      'a configuration by ".."',
      () => asDirectory(saved((e) => Object.assign(e, { Config: 'a/../../x' }))),
      /leads out/,
    ],
    [
      'fewer layers than digests',
      () => asArchive(saved((e) => Object.assign(e, { Layers: [] }))),
      /0 layers and 2 digests/,
    ],
    [
      'an index that is no JSON',
      () => asDirectory(ociLayout([image]).set('index.json', Buffer.from('{'))),
      /no JSON/,
    ],
    [
      'an index beyond the bound',
      () => asDirectory(ociLayout([image]).set('index.json', Buffer.alloc(5_000_000, ' '))),
      /5000000 bytes/,
    ],
    [
      '129 layers',
      () => asArchive(dockerSave([{ layers: Array(129).fill(layers[0]) }])),
      /129 layers, of at most 128/,
    ],
    ['a digest that is a path', () => asDirectory(pathDigest()), /is no sha256 or sha512 digest/],
    ['a link out of the directory', linkOut, /leads out of it/],
    ['indexes without end', () => asDirectory(deep()), /deep/],
  ];
  test.each(cases)('%s', async (_, make, message) => {
    await expect(openImage(make())).rejects.toMatchObject({
      name: 'ImageError',
      message: expect.stringMatching(message),
    });
  });
});

function plain(bytes: Buffer): string {
  const file = join(directory, 'plain');
  writeFileSync(file, bytes);
  return file;
}

const isManifest = (bytes: Buffer): boolean => bytes.includes('"layers"');

function changedManifest(): Files {
  const files = ociLayout([image]);
  for (const [path, bytes] of files) {
    if (isManifest(bytes)) files.set(path, Buffer.concat([bytes, Buffer.from(' ')]));
  }
  return files;
}

function without(): Files {
  const files = ociLayout([image]);
  files.delete(`blobs/sha256/${sha256(layers[1]?.tar ?? Buffer.alloc(0))}`);
  return files;
}

function pathDigest(): Files {
  return edited(ociLayout([image]), 'index.json', (index) => {
    const manifests = (index.manifests as object[]).map((each) => ({
      ...each,
      digest: 'sha256:../../../../etc/passwd',
    }));
    return { ...index, manifests };
  });
}

function linkOut(): string {
  const path = asDirectory(dockerSave([image]));
  mkdirSync(join(directory, 'outside'));
  writeFileSync(join(directory, 'outside/layer.tar'), '');
  const files = saved((entry) => Object.assign(entry, { Layers: ['link/layer.tar', 'x'] }));
  writeFileSync(join(path, 'manifest.json'), files.get('manifest.json') ?? '');
  symlinkSync('../outside', join(path, 'link'));
  return path;
}

function deep(): Files {
  const files = ociLayout([image]);
  for (let level = 0; level < 6; level++) {
    const inner = files.get('index.json') ?? Buffer.alloc(0);
    const digest = `sha256:${sha256(inner)}`;
    files.set(`blobs/sha256/${sha256(inner)}`, inner);
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    files.set(
      'index.json',
      Buffer.from(JSON.stringify({ level, manifests: [{ mediaType, digest }] })),
    );
  }
  return files;
}
