import { expect, test } from 'vitest';
import { encode, member, pax, signed, type TarItem, tar } from '../../test/support/image/tar.ts';
import { imageLimits } from './limits.ts';
import { readTar } from './tar.ts';
import type { TarEntry } from './tar-entry.ts';

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Buffer, size = 1000): Promise<(TarEntry & { text: string })[]> {
  const entries: (TarEntry & { text: string })[] = [];
  for await (const { entry, content } of readTar(pieces(bytes, size))) {
    const parts: Buffer[] = [];
    for await (const part of content()) parts.push(part);
    entries.push({ ...entry, text: Buffer.concat(parts).toString('latin1') });
  }
  return entries;
}

const items: TarItem[] = [
  { path: 'a', data: 'content', mode: 0o4750, uid: 1, gid: 2, mtime: '12.25' },
  {
    path: `${'d/'.repeat(200)}pax`,
    data: 'x'.repeat(2000),
    xattrs: { 'user.x': Buffer.from([0, 10]) },
  },
  { path: `${'e/'.repeat(200)}gnu`, type: 'symlink', link: 't'.repeat(300), gnu: true },
  { path: 'device', type: 'char', major: 5, minor: 300 },
  { path: 'big ids', uid: 4_000_000_000, gid: 70_000_000, mtime: '-5' },
];

test.each([
  1, 511, 512, 100_000,
])('all of an entry is read, in pieces of %i bytes', async (size) => {
  const entries = await read(tar(items), size);
  expect(entries).toMatchObject([
    {
      name: 'a',
      type: 'file',
      mode: 0o4750,
      uid: 1,
      gid: 2,
      mtime: 12,
      mtimeNs: 250_000_000,
      text: 'content',
    },
    { name: `${'d/'.repeat(200)}pax`, text: 'x'.repeat(2000) },
    { name: `${'e/'.repeat(200)}gnu`, type: 'symlink', linkName: 't'.repeat(300), size: 0 },
    { name: 'device', type: 'character', major: 5, minor: 300 },
    { uid: 4_000_000_000, gid: 70_000_000, mtime: -5 },
  ]);
  expect(entries[1]?.xattrs.get('user.x')).toEqual(Buffer.from([0, 10]));
});

test('a time before 1970 has nanoseconds that count forward', async () => {
  const [entry] = await read(tar([{ path: 'x', mtime: '-1.25' }]));
  expect(entry).toMatchObject({ mtime: -2, mtimeNs: 750_000_000 });
});

test('the archive needs no blocks of zeros at its end, and nothing behind them counts', async () => {
  const bare = encode({ path: 'x', data: 'y' });
  expect(await read(bare)).toHaveLength(1);
  expect(await read(Buffer.concat([bare, Buffer.alloc(1024), Buffer.from('rest')]))).toHaveLength(
    1,
  );
});

const broken: [why: string, bytes: Buffer, message: RegExp][] = [
  [
    'a changed header',
    Buffer.from(encode({ path: 'x' }).map((byte, at) => (at === 3 ? 1 : byte))),
    /checksum/,
  ],
  ['an early end in a header', encode({ path: 'x' }).subarray(0, 300), /too early/],
  [
    'an early end in a content',
    encode({ path: 'x', data: 'x'.repeat(600) }).subarray(0, 700),
    /too early/,
  ],
  ['an extended header beyond the bound', oversized(), /extended header of 1048577 bytes/],
  ['a pax record of a wrong length', member('p', 'x', Buffer.from('99 path=x\n')), /wrong length/],
  ['a pax record without a value', member('p', 'x', Buffer.from('7 path\n')), /without "="/],
  ['a path with a NUL', paxed('path', Buffer.from('a\0b')), /NUL/],
  ['a size that is no number', paxed('size', Buffer.from('-1')), /size is no number/],
  ['a sparse file', member('x', 'S', Buffer.alloc(0)), /sparse/],
  ['a sparse file of pax', paxed('GNU.sparse.major', Buffer.from('1')), /sparse/],
  ['an unknown type', member('x', 'V', Buffer.alloc(0)), /type "V"/],
  [
    'attributes beyond the bound',
    paxed('SCHILY.xattr.user.x', Buffer.alloc(70_000)),
    /beyond every bound/,
  ],
  [
    'attributes that are too many bytes together',
    Buffer.concat([member('p', 'x', pax(attributes(3, 0xffff))), encode({ path: 'x' })]),
    /beyond every bound/,
  ],
  ['a number that is none', field(124, 'notoctal'), /no octal number/],
  ['a size below zero', field(124, Buffer.alloc(12, 0xff)), /below zero/],
  [
    'a size beyond 2^53',
    field(124, Buffer.concat([Buffer.from([0x80]), Buffer.alloc(11, 0xff)])),
    /2\^53/,
  ],
];

test.each(broken)('refused: %s', async (_, bytes, message) => {
  await expect(read(bytes)).rejects.toThrow(message);
});

function paxed(keyword: string, value: Buffer): Buffer {
  return Buffer.concat([member('p', 'x', pax([[keyword, value]])), encode({ path: 'x' })]);
}

/** So many, each of a name of one character. */
function attributes(count: number, bytes: number): [string, Buffer][] {
  return Array.from({ length: count }, (_, n) => [`SCHILY.xattr.${n}`, Buffer.alloc(bytes)]);
}

test('attributes up to the bound are read', async () => {
  const most = imageLimits.xattrBytes / 3 - 1;
  const records = pax(attributes(3, Math.floor(most)));
  const [entry] = await read(Buffer.concat([member('p', 'x', records), encode({ path: 'x' })]));
  expect(entry?.xattrs.size).toBe(3);
});

function field(at: number, value: string | Buffer): Buffer {
  const header = Buffer.from(encode({ path: 'x' }));
  Buffer.from(value as string).copy(header, at);
  return signed(header);
}

/** Only its header: nobody has to read the rest. */
function oversized(): Buffer {
  const size = (imageLimits.tarHeaderBytes + 1).toString(8).padStart(11, '0');
  const header = Buffer.from(member('x', 'x', Buffer.alloc(0)));
  header.write(size, 124);
  return signed(header);
}
