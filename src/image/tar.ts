import { ImageError } from './errors.ts';
import { imageLimits } from './limits.ts';
import { ByteQueue, type ByteSource } from './tar-bytes.ts';
import type { TarEntry, TarType } from './tar-entry.ts';
import { applyPax, type PaxRecords, parsePax } from './tar-pax.ts';

export const TAR_BLOCK = 512;

export interface TarMember {
  readonly entry: TarEntry;
  /** Where its content begins in the archive. */
  readonly offset: number;
  /** The content, at most once; what is not read is skipped. */
  content(): AsyncIterable<Buffer>;
}

const TYPES: Readonly<Record<string, TarType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

function bad(why: string): ImageError {
  return new ImageError('corrupt', `tar archive: ${why}`);
}

/**
 * The entries of a tar archive: ustar, pax (POSIX.1-2001) and GNU's long names and large numbers.
 * Throws ImageError for anything else, for headers beyond their bounds and for an archive that ends early.
 */
export async function* readTar(source: ByteSource): AsyncGenerator<TarMember> {
  await using queue = new ByteQueue(source);
  const globals: PaxRecords = new Map();
  let pending = new Pending();
  for (;;) {
    const header = await queue.take(TAR_BLOCK);
    // Archives without the two blocks of zeros at their end are usual.
    if (header === undefined || isZero(header)) break;
    const flag = checkedFlag(header);
    const size = number(header, 124, 12);
    if (size < 0) throw bad('a size below zero');
    if ('xgLK'.includes(flag)) {
      pending.take(flag, await longText(queue, size), globals);
      continue;
    }
    const entry = parseEntry(header, flag, size, pending, globals);
    pending = new Pending();
    // Only files have content, whatever the size of others says.
    const content = queue.section(entry.size);
    yield { entry, offset: queue.position, content: () => content.read() };
    await content.skip();
    await queue.skip(padding(entry.size));
  }
  await queue.drain();
}

/** What extended headers say of the entry that follows. */
class Pending {
  readonly pax: PaxRecords = new Map();
  name: string | undefined;
  linkName: string | undefined;

  take(flag: string, text: Buffer, globals: PaxRecords): void {
    if (flag === 'g') parsePax(text, globals);
    else if (flag === 'x') parsePax(text, this.pax);
    else if (flag === 'L') this.name = untilNul(text, 0, text.length);
    else this.linkName = untilNul(text, 0, text.length);
  }
}

async function longText(queue: ByteQueue, size: number): Promise<Buffer> {
  if (size > imageLimits.tarHeaderBytes) {
    const most = imageLimits.tarHeaderBytes;
    throw new ImageError(
      'refused',
      `tar archive: an extended header of ${size} bytes (at most ${most})`,
    );
  }
  const text = await queue.take(size);
  if (text === undefined) throw bad('it ends within an extended header');
  // The queue's memory is used again.
  const copy = Buffer.from(text);
  await queue.skip(padding(size));
  return copy;
}

function parseEntry(
  header: Buffer,
  flag: string,
  size: number,
  pending: Pending,
  globals: PaxRecords,
): TarEntry {
  const type = TYPES[flag];
  if (type === undefined) {
    const what =
      flag === 'S' ? 'a sparse file of GNU tar' : `an entry of type ${JSON.stringify(flag)}`;
    throw new ImageError('unsupported', `tar archive: ${what}`);
  }
  const ustar = header.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = ustar ? untilNul(header, 345, 155) : '';
  const short = untilNul(header, 0, 100);
  const device = type === 'character' || type === 'block';
  const entry: TarEntry = {
    name: pending.name ?? (prefix === '' ? short : `${prefix}/${short}`),
    type,
    mode: number(header, 100, 8) & 0o7777,
    uid: number(header, 108, 8),
    gid: number(header, 116, 8),
    size,
    mtime: number(header, 136, 12),
    mtimeNs: 0,
    linkName: pending.linkName ?? untilNul(header, 157, 100),
    major: device ? number(header, 329, 8) : 0,
    minor: device ? number(header, 337, 8) : 0,
    xattrs: new Map(),
  };
  applyPax(entry, globals);
  applyPax(entry, pending.pax);
  // Old archives mark a directory by its name alone.
  if (entry.type === 'file' && entry.name.endsWith('/')) entry.type = 'directory';
  if (entry.type !== 'file') entry.size = 0;
  return entry;
}

/** Whether a block can be the first of an archive. */
export function isTarHeader(block: Buffer): boolean {
  if (isZero(block)) return true;
  const digits = /^ *([0-7]+)[ \0]*$/.exec(block.toString('latin1', 148, 156))?.[1] ?? '';
  return Number.parseInt(digits, 8) === checksum(block);
}

function checksum(header: Buffer): number {
  let sum = 0;
  // The checksum's own field counts as spaces.
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 32 : byte;
  return sum;
}

function checkedFlag(header: Buffer): string {
  if (checksum(header) !== number(header, 148, 8)) throw bad('a header has a wrong checksum');
  return String.fromCharCode(header[156] ?? 0);
}

/** Octal digits, or GNU's big-endian binary when the first bit is set. */
function number(header: Buffer, at: number, length: number): number {
  const first = header[at] ?? 0;
  if ((first & 0x80) !== 0) return binary(header.subarray(at, at + length));
  const text = untilNul(header, at, length).trim();
  if (text === '') return 0;
  if (!/^[0-7]+$/.test(text)) throw bad(`${JSON.stringify(text)} is no octal number`);
  return Number.parseInt(text, 8);
}

function binary(bytes: Buffer): number {
  const negative = ((bytes[0] ?? 0) & 0x40) !== 0;
  let value = BigInt(`0x${bytes.toString('hex')}`);
  const bits = BigInt(bytes.length * 8);
  value = negative ? value - (1n << bits) : value & ((1n << (bits - 1n)) - 1n);
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw bad('a number beyond 2^53');
  return result;
}

function untilNul(bytes: Buffer, at: number, length: number): string {
  const text = bytes.toString('latin1', at, at + length);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

function padding(size: number): number {
  return (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK;
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}
