import { constants } from 'node:os';
import { OsError } from './errors.ts';

/** Throws EINVAL for a string with a NUL in it: C would cut it there and mean something else. */
export function noNul(syscall: string, text: string, what?: string): void {
  if (text.includes('\0')) {
    throw new OsError(syscall, constants.errno.EINVAL, what ?? JSON.stringify(text));
  }
}
