import { describe, expect, test } from 'vitest';
import { type TarItem, tar } from '../../test/support/image/tar.ts';
import { type LayerNode, LayerTree } from './layer-tree.ts';
import { readTar } from './tar.ts';

async function treeOf(items: readonly TarItem[]): Promise<LayerNode> {
  const tree = new LayerTree();
  for await (const { entry } of readTar(bytesOf(items))) tree.add(entry, { kind: 'none' });
  return tree.finish();
}

async function* bytesOf(items: readonly TarItem[]): AsyncGenerator<Buffer> {
  yield tar(items);
}

const at = (node: LayerNode, path: string): LayerNode | undefined =>
  path.split('/').reduce<LayerNode | undefined>((each, name) => each?.children.get(name), node);

const opaque = (node: LayerNode | undefined): string | undefined =>
  node?.xattrs.get('trusted.overlay.opaque')?.toString();

describe('whiteouts', () => {
  test('a removed name is the character device 0:0', async () => {
    const root = await treeOf([{ path: 'd', type: 'dir' }, { path: 'd/.wh.gone' }]);
    expect(at(root, 'd/gone')).toMatchObject({ type: 'character', major: 0, minor: 0 });
    expect(at(root, 'd/.wh.gone')).toBeUndefined();
  });

  test('an opaque directory has the attribute, wherever the mark stands', async () => {
    const root = await treeOf([
      { path: 'a/.wh..wh..opq' },
      { path: 'a', type: 'dir', mode: 0o700, xattrs: { 'user.x': Buffer.from('1') } },
      { path: 'b', type: 'dir' },
      { path: 'b/.wh..wh..opq' },
    ]);
    expect([opaque(at(root, 'a')), opaque(at(root, 'b'))]).toEqual(['y', 'y']);
    expect(at(root, 'a')).toMatchObject({ mode: 0o700 });
    expect(at(root, 'a')?.xattrs.has('user.x')).toBe(true);
  });

  test.each([
    [false],
    [true],
  ])('a name that is removed and made anew is there (mark last: %s)', async (last) => {
    const marks: TarItem[] = [{ path: '.wh.dir' }, { path: '.wh.file' }];
    const own: TarItem[] = [{ path: 'dir', type: 'dir' }, { path: 'dir/x' }, { path: 'file' }];
    const root = await treeOf(last ? [...own, ...marks] : [...marks, ...own]);
    expect(opaque(at(root, 'dir'))).toBe('y');
    expect(at(root, 'dir/x')).toMatchObject({ type: 'file' });
    expect(at(root, 'file')).toMatchObject({ type: 'file' });
  });

  test('AUFS’s own bookkeeping is left out', async () => {
    const root = await treeOf([
      { path: '.wh..wh.plnk', type: 'dir' },
      { path: '.wh..wh.plnk/1.2', data: '' },
      { path: '.wh..wh.aufs' },
    ]);
    expect([...root.children.keys()]).toEqual([]);
  });
});

test('a hard link is one inode; a later entry takes the place of one of its names only', async () => {
  const root = await treeOf([
    { path: 'a', uid: 7 },
    { path: 'd/b', type: 'link', link: './a' },
    { path: 'c', type: 'link', link: '/d/b' },
    { path: 'a', uid: 8 },
  ]);
  expect(at(root, 'd/b')).toBe(at(root, 'c'));
  expect([at(root, 'a')?.uid, at(root, 'c')?.uid]).toEqual([8, 7]);
});

test('a directory told of twice keeps what is in it; a file in its place does not', async () => {
  const root = await treeOf([
    { path: 'd/x' },
    { path: 'd/', type: 'dir', mode: 0o500 },
    { path: 'e/x' },
    { path: 'e' },
  ]);
  expect(at(root, 'd/x')).toBeDefined();
  expect(at(root, 'd')).toMatchObject({ mode: 0o500 });
  expect(at(root, 'e')).toMatchObject({ type: 'file' });
  expect(at(root, 'e/x')).toBeUndefined();
});

const hostile: [why: string, items: TarItem[], message: RegExp][] = [
  ['".." in a path', [{ path: 'a/../../etc/passwd' }], /"\.\."/],
  ['".." in a hard link', [{ path: 'a', type: 'link', link: '../etc/passwd' }], /"\.\."/],
  [
    'a hard link out of the layer',
    [{ path: 'a', type: 'link', link: '/etc/passwd' }],
    /to nothing/,
  ],
  [
    'a hard link to a directory',
    [
      { path: 'd', type: 'dir' },
      { path: 'a', type: 'link', link: 'd' },
    ],
    /to nothing/,
  ],
  [
    'a path through a link',
    [{ path: 'a', type: 'symlink', link: '/etc' }, { path: 'a/b' }],
    /below "a"/,
  ],
  ['a name of 256 bytes', [{ path: 'n'.repeat(256) }], /255 bytes/],
  ['a path of 4096 bytes', [{ path: 'n/'.repeat(2048) }], /4095 bytes/],
  ['a whiteout of nothing', [{ path: 'd/.wh.' }], /hides nothing/],
  ['a whiteout of ".."', [{ path: 'd/.wh...' }], /hides nothing/],
  ['a symbolic link to nothing', [{ path: 'a', type: 'symlink' }], /impossible length/],
  ['an id of -1', [{ path: 'a', uid: 0xffffffff }], /impossible uid/],
  ['a device beyond all', [{ path: 'a', type: 'char', major: 4096 }], /impossible numbers/],
  [
    'attributes that lead overlayfs elsewhere',
    [{ path: 'a', type: 'dir', xattrs: { 'trusted.overlay.redirect': Buffer.from('/etc') } }],
    /trusted\.overlay\.redirect/,
  ],
];

test.each(hostile)('refused: %s', async (_, items, message) => {
  await expect(treeOf(items)).rejects.toMatchObject({
    code: 'refused',
    message: expect.stringMatching(message),
  });
});

test('absolute names are below the root', async () => {
  const root = await treeOf([{ path: '/etc/x' }, { path: '//y' }]);
  expect(at(root, 'etc/x')).toBeDefined();
  expect(at(root, 'y')).toBeDefined();
});
