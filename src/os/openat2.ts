import { constants } from 'node:fs';
import { check } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { noNul } from './text.ts';

/** open(2): a descriptor that stands for a path and opens nothing; node:fs does not name it. */
export const O_PATH = 0o10000000;
/** What names an existing directory and nothing else. */
export const O_DIRECTORY_PATH = O_PATH | constants.O_DIRECTORY;

/** The root that relative paths begin at: the working directory. */
const AT_FDCWD = -100;

// openat2(2)
const RESOLVE = {
  'no-mount-crossing': 0x01,
  'no-magic-links': 0x02,
  'no-symlinks': 0x04,
  beneath: 0x08,
  'in-root': 0x10,
} as const;

/**
 * Rules of a path's resolution, named as in openat2(2): `in-root` makes the directory the root of
 * absolute paths, links and ".."; `beneath` refuses what would leave it (EXDEV).
 */
export type ResolveRule = keyof typeof RESOLVE;

/**
 * openat2(2), close-on-exec. `directory` null: the working directory. Throws OsError: ELOOP for a
 * link that a rule forbids, EXDEV for a path that leaves the root.
 */
export function openAt2(
  directory: Fd | null,
  path: string,
  options: { flags: number; mode?: number; resolve: readonly ResolveRule[] },
): Fd {
  noNul('openat2', path);
  const rules = options.resolve.reduce((bits, rule) => bits | RESOLVE[rule], 0);
  const from = directory === null ? AT_FDCWD : directory.raw;
  const result = native().openAt2(from, path, options.flags, options.mode ?? 0, rules);
  return new Fd(check('openat2', result, path));
}

/** A name of the open file itself, whatever happens to the path it was opened by. */
export function fdPath(fd: Fd): string {
  return `/proc/self/fd/${fd.raw}`;
}
