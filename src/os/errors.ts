import { constants } from 'node:os';

const nameByNumber = new Map<number, string>();
// Of two names for one number the first is the one Node uses too: EAGAIN, not EWOULDBLOCK.
for (const [name, value] of Object.entries(constants.errno)) {
  if (!nameByNumber.has(value)) nameByNumber.set(value, name);
}

/** Name of an errno value ("ENOENT"), or "errno N" for one this platform has no name for. See errno(3). */
export function errnoName(errno: number): string {
  return nameByNumber.get(errno) ?? `errno ${errno}`;
}

/**
 * A system call failed. `code` is the errno's name, as in Node's own system errors, so that
 * `error.code === 'ENOENT'` works for both.
 */
export class OsError extends Error {
  override readonly name = 'OsError';
  readonly code: string;
  /** Positive errno(3) value. */
  readonly errno: number;
  /** The system call that failed, e.g. "connect". */
  readonly syscall: string;

  constructor(syscall: string, errno: number, detail?: string) {
    super(`${syscall}${detail === undefined ? '' : ` ${detail}`}: ${errnoName(errno)}`);
    this.code = errnoName(errno);
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** Throws the OsError for a native result below zero (`-errno`), else returns the result. */
export function check(syscall: string, result: number, detail?: string): number {
  if (result < 0) throw new OsError(syscall, -result, detail);
  return result;
}

/** True when `error` carries the errno name `code`, whether it came from us or from Node. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === code;
}
