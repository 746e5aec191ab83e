import { ImageError } from './errors.ts';
import { imageLimits } from './limits.ts';
import type { TarEntry } from './tar-entry.ts';

/** Records of an extended header by keyword. */
export type PaxRecords = Map<string, Buffer>;

const XATTR = 'SCHILY.xattr.';

function bad(why: string): ImageError {
  return new ImageError('corrupt', `tar archive: pax header: ${why}`);
}

/** Adds the records "LENGTH KEYWORD=VALUE\n" of one header; POSIX.1-2001, pax(1), "pax Extended Header". */
export function parsePax(bytes: Buffer, records: PaxRecords): void {
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? '' : bytes.toString('latin1', at, space);
    const length = /^[1-9][0-9]{0,9}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (end <= space + 1 || end > bytes.length || bytes[end - 1] !== 0x0a) {
      throw bad('a record with a wrong length');
    }
    const equals = bytes.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) throw bad('a record without "="');
    const keyword = bytes.toString('latin1', space + 1, equals);
    records.set(keyword, bytes.subarray(equals + 1, end - 1));
    at = end;
  }
}

/** Changes an entry by what extended headers say of it. */
export function applyPax(entry: TarEntry, records: PaxRecords): void {
  let xattrBytes = 0;
  for (const [keyword, value] of records) {
    if (keyword.startsWith('GNU.sparse.')) {
      throw new ImageError('unsupported', 'tar archive: a sparse file of GNU tar');
    }
    if (keyword.startsWith(XATTR)) {
      const name = keyword.slice(XATTR.length);
      xattrBytes += name.length + value.length;
      if (xattrBytes > imageLimits.xattrBytes || value.length > 0xffff || name.length > 255) {
        throw new ImageError('refused', `${entry.name}: extended attributes beyond every bound`);
      }
      entry.xattrs.set(name, value);
    } else applyRecord(entry, keyword, value.toString('latin1'));
  }
}

function applyRecord(entry: TarEntry, keyword: string, text: string): void {
  switch (keyword) {
    case 'path':
      if (text.includes('\0')) throw bad('a path with a NUL');
      entry.name = text;
      break;
    case 'linkpath':
      if (text.includes('\0')) throw bad('a link path with a NUL');
      entry.linkName = text;
      break;
    case 'size':
      entry.size = wholeNumber(keyword, text);
      break;
    case 'uid':
    case 'gid':
      entry[keyword] = wholeNumber(keyword, text);
      break;
    case 'mtime': {
      const { seconds, nanoseconds } = parseTime(text);
      entry.mtime = seconds;
      entry.mtimeNs = nanoseconds;
      break;
    }
    case 'SCHILY.devmajor':
      entry.major = wholeNumber(keyword, text);
      break;
    case 'SCHILY.devminor':
      entry.minor = wholeNumber(keyword, text);
      break;
    default:
    // Times that are not kept, names of users and groups, comments.
  }
}

function wholeNumber(keyword: string, text: string): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw bad(`${keyword} is no number`);
  return value;
}

function parseTime(text: string): { seconds: number; nanoseconds: number } {
  const [, sign = '', whole = '', fraction = ''] = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text) ?? [];
  if (whole === '') throw bad('mtime is no time');
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'));
  if (sign === '') return { seconds: Number(whole), nanoseconds };
  // Nanoseconds count forward, also before 1970.
  if (nanoseconds === 0) return { seconds: -Number(whole), nanoseconds: 0 };
  return { seconds: -Number(whole) - 1, nanoseconds: 1e9 - nanoseconds };
}
