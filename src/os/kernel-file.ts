import { constants } from 'node:fs';
import { OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { noNul } from './text.ts';

/** A cgroup's or process's file is nearly always shorter. Of one buffer for all: nothing waits between a read and its text. */
let shared: Buffer | undefined;
const sharedBytes = 64 * 1024;

/** Limits of one look at a file. */
export interface KernelFileOptions {
  /** In bytes; a longer file is an Error. */
  readonly largest: number;
  /** Errnos that mean "there is no such file", whichever call gives them. */
  readonly absent: ReadonlySet<number>;
}

/**
 * The text (latin1) of a file that the kernel makes from its own memory as it is read: of a cgroup, or of
 * /proc. Undefined when it is not there. Throws OsError for anything else.
 *
 * Synchronous: three system calls of a microsecond each, where a trip through the thread pool
 * takes ten times as long for every one of them; and a file that is missing costs no exception.
 * For no file that a disk, a network or another process's memory stands behind (/proc/PID/cmdline).
 */
export function readKernelFile(path: string, options: KernelFileOptions): string | undefined {
  noNul('open', path);
  const opened = native().open(path, constants.O_RDONLY, 0);
  if (opened < 0) return absentOr('open', -opened, path, options);
  using fd = new Fd(opened);
  shared ??= Buffer.allocUnsafeSlow(sharedBytes);
  let text = '';
  for (;;) {
    const length = native().readBytes(fd.raw, shared);
    if (length < 0) return absentOr('read', -length, path, options);
    if (length === 0) return text;
    text += shared.toString('latin1', 0, length);
    if (text.length > options.largest) {
      throw new Error(`${path} is larger than ${options.largest} bytes`);
    }
  }
}

function absentOr(
  syscall: string,
  errno: number,
  path: string,
  { absent }: KernelFileOptions,
): undefined {
  if (!absent.has(errno)) throw new OsError(syscall, errno, path);
}
