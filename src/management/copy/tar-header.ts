import { TAR_BLOCK } from '../../image/tar.ts';
import type { TarEntry, TarType } from '../../image/tar-entry.ts';

/** Largest number of seven, and of eleven, octal digits. */
const SHORT_MAX = 0o7777777;
const LONG_MAX = 0o77777777777;
const NAME_BYTES = 100;

const FLAGS: Readonly<Record<TarType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

export type WrittenEntry = Omit<TarEntry, 'xattrs'>;

/**
 * Header of one entry: ustar, with a pax extended header (POSIX.1-2001) for what ustar has no room
 * for. Names are bytes, one character each.
 */
export function tarHeader(entry: WrittenEntry): Buffer {
  const records = paxRecords(entry);
  const header = ustar(entry, FLAGS[entry.type], entry.size);
  if (records.length === 0) return header;
  const of = { ...entry, name: 'pax', linkName: '', uid: 0, gid: 0, mtime: 0, mode: 0o644 };
  return Buffer.concat([ustar(of, 'x', records.length), records, zeros(records.length), header]);
}

/** Zeros up to the next block. */
export function zeros(size: number): Buffer {
  return Buffer.alloc((TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK);
}

/** Two blocks of zeros. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK);

function paxRecords(entry: WrittenEntry): Buffer {
  const records: [string, string][] = [];
  const isPlain = (text: string): boolean =>
    text.length <= NAME_BYTES && /^[\x20-\x7e]*$/.test(text);
  if (!isPlain(entry.name)) records.push(['path', entry.name]);
  if (!isPlain(entry.linkName)) records.push(['linkpath', entry.linkName]);
  if (entry.size > LONG_MAX) records.push(['size', `${entry.size}`]);
  if (entry.uid > SHORT_MAX) records.push(['uid', `${entry.uid}`]);
  if (entry.gid > SHORT_MAX) records.push(['gid', `${entry.gid}`]);
  const fraction = `${entry.mtimeNs}`.padStart(9, '0');
  if (entry.mtimeNs > 0 || entry.mtime > LONG_MAX)
    records.push(['mtime', `${entry.mtime}.${fraction}`]);
  return Buffer.concat(records.map(([keyword, value]) => paxRecord(keyword, value)));
}

/** "LENGTH KEYWORD=VALUE\n", where the length counts its own digits. */
function paxRecord(keyword: string, value: string): Buffer {
  const rest = ` ${keyword}=${value}\n`;
  let length = rest.length;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.from(`${length}${rest}`, 'latin1');
}

function ustar(entry: WrittenEntry, flag: string, size: number): Buffer {
  const header = Buffer.alloc(TAR_BLOCK);
  header.write(entry.name.slice(0, NAME_BYTES), 0, 'latin1');
  octal(header, 100, 8, entry.mode);
  octal(header, 108, 8, Math.min(entry.uid, SHORT_MAX));
  octal(header, 116, 8, Math.min(entry.gid, SHORT_MAX));
  octal(header, 124, 12, Math.min(size, LONG_MAX));
  octal(header, 136, 12, Math.min(Math.max(0, entry.mtime), LONG_MAX));
  header.write('        ', 148, 'latin1');
  header.write(flag, 156, 'latin1');
  header.write(entry.linkName.slice(0, NAME_BYTES), 157, 'latin1');
  header.write('ustar\0' + '00', 257, 'latin1');
  octal(header, 329, 8, entry.major);
  octal(header, 337, 8, entry.minor);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function octal(header: Buffer, at: number, length: number, value: number): void {
  header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
}
