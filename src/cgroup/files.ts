import { constants } from 'node:os';
import { hasCode } from '../os/errors.ts';
import { readKernelFile } from '../os/kernel-file.ts';

/** io.stat of a machine with thousands of disks stays below this; more is not a statistics file. */
const largestFile = 1024 * 1024;

/** 2^64 - 1: how "max" (no limit) is written where figures are unsigned 64-bit integers. */
export const unlimited = 0xffff_ffff_ffff_ffffn;

/** Errnos of a file or cgroup that is not there: ENODEV comes from a cgroup removed after the open, ESRCH from a process that ended then, ENXIO from its network namespace that ended with it, EOPNOTSUPP from a file that has no meaning in this cgroup (cgroups(7), threaded mode). */
const absent = ['ENOENT', 'ENODEV', 'ENOTDIR', 'ESRCH', 'ENXIO', 'EOPNOTSUPP'] as const;
const absentNumbers: ReadonlySet<number> = new Set(absent.map((code) => constants.errno[code]));

/** True for the error of a file, cgroup or process that is not there. */
export function isAbsence(error: unknown): boolean {
  return absent.some((code) => hasCode(error, code));
}

/**
 * The text of a cgroup or proc file, undefined when it is not there. Throws for one larger than
 * `largest` bytes. At once: these files are the kernel's memory (`src/os/kernel-file.ts`), and
 * reading them waits for no disk and for no process.
 */
export function readFileIfPresent(path: string, largest = largestFile): string | undefined {
  return readKernelFile(path, { largest, absent: absentNumbers });
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
export function readCount(path: string, max: bigint = unlimited): bigint {
  const text = readFileIfPresent(path);
  if (text === undefined) return 0n;
  const value = parseCount(text, max);
  if (value === undefined) throw new Error(`${path} holds no number: ${text.slice(0, 64)}`);
  return value;
}

/** Figures by name, from lines "name value" (cgroups(7) "flat keyed"); lines of any other form are left out. A name that is missing is 0. */
export class KeyedCounts {
  readonly #texts = new Map<string, string>();

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const space = line.indexOf(' ');
      if (space > 0) this.#texts.set(line.slice(0, space), line.slice(space + 1));
    }
  }

  /** Parsed as it is asked for: memory.stat has three times as many lines as anybody wants. */
  get(name: string): bigint {
    return parseCount(this.#texts.get(name) ?? '') ?? 0n;
  }
}

export function readKeyed(path: string): KeyedCounts | undefined {
  const text = readFileIfPresent(path);
  return text === undefined ? undefined : new KeyedCounts(text);
}
