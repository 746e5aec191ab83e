import { close, open, read, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { hasCode } from '../os/errors.ts';

const openAsync = promisify(open);
const closeAsync = promisify(close);
const readAsync = promisify(read);

const chunk = 4096;
/** io.stat of a machine with thousands of disks stays below this; more is not a statistics file. */
const largestFile = 1024 * 1024;

/** 2^64 - 1: how "max" (no limit) is written where figures are unsigned 64-bit integers. */
export const unlimited = 0xffff_ffff_ffff_ffffn;

/** Errnos of a file or cgroup that is not there: ENODEV comes from a cgroup removed after the open, ESRCH from a process that ended then, EOPNOTSUPP from a file that has no meaning in this cgroup (cgroups(7), threaded mode). */
const absent = ['ENOENT', 'ENODEV', 'ENOTDIR', 'ESRCH', 'EOPNOTSUPP'];

/** True for the error of a file, cgroup or process that is not there. */
export function isAbsence(error: unknown): boolean {
  return absent.some((code) => hasCode(error, code));
}

/**
 * The text of a cgroup or proc file, undefined when it is not there. Three trips through the
 * thread pool for the usual short file, where readFile takes five.
 */
export async function readFileIfPresent(path: string): Promise<string | undefined> {
  try {
    const fd = await openAsync(path, 'r');
    try {
      return await readToEnd(fd, path);
    } finally {
      await closeAsync(fd);
    }
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

/** The same at once, for files of /proc, which no pressure on memory or disks can hold up. */
export function readFileIfPresentSync(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

async function readToEnd(fd: number, path: string): Promise<string> {
  const parts: Buffer[] = [];
  for (let total = 0; total <= largestFile; ) {
    const { buffer, bytesRead } = await readAsync(fd, Buffer.allocUnsafe(chunk), 0, chunk, null);
    if (bytesRead === 0) return Buffer.concat(parts).toString('latin1');
    parts.push(buffer.subarray(0, bytesRead));
    total += bytesRead;
  }
  throw new Error(`${path} is larger than ${largestFile} bytes`);
}

/**
 * An unsigned 64-bit figure as the kernel writes it. "max" is `max`, a negative one (v1 "no
 * limit" of old kernels) is 0, anything else that is no such number is undefined.
 */
export function parseCount(text: string, max: bigint = unlimited): bigint | undefined {
  const trimmed = text.trim();
  if (trimmed === 'max') return max;
  if (/^-[0-9]+$/.test(trimmed)) return 0n;
  if (!/^[0-9]{1,20}$/.test(trimmed)) return undefined;
  const value = BigInt(trimmed);
  return value <= unlimited ? value : undefined;
}

/** The one figure of a file; 0 when the file is not there. Throws on a file that holds anything else. */
export async function readCount(path: string, max: bigint = unlimited): Promise<bigint> {
  const text = await readFileIfPresent(path);
  if (text === undefined) return 0n;
  const value = parseCount(text, max);
  if (value === undefined) throw new Error(`${path} holds no number: ${text.slice(0, 64)}`);
  return value;
}

/** Figures by name, from lines "name value" (cgroups(7) "flat keyed"); lines of any other form are left out. A name that is missing is 0. */
export class KeyedCounts {
  readonly #values = new Map<string, bigint>();

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const space = line.indexOf(' ');
      if (space <= 0) continue;
      const value = parseCount(line.slice(space + 1));
      if (value !== undefined) this.#values.set(line.slice(0, space), value);
    }
  }

  get(name: string): bigint {
    return this.#values.get(name) ?? 0n;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }
}

export async function readKeyed(path: string): Promise<KeyedCounts | undefined> {
  const text = await readFileIfPresent(path);
  return text === undefined ? undefined : new KeyedCounts(text);
}
