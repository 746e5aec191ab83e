import { check } from './errors.ts';
import { Fd, rawOf } from './fd.ts';
import { native } from './native.ts';
import { noNul } from './text.ts';

/**
 * pipe2(2), close-on-exec on both ends; neither end is non-blocking unless asked for. `size` is the
 * capacity in bytes (F_SETPIPE_SZ); OsError EPERM above the limit of pipe(7).
 */
export function pipe(
  options: { nonBlockRead?: boolean; nonBlockWrite?: boolean; size?: number } = {},
): { read: Fd; write: Fd } {
  const ends = new Int32Array(2);
  const { nonBlockRead = false, nonBlockWrite = false, size = 0 } = options;
  check('pipe2', native().makePipe(nonBlockRead, nonBlockWrite, size, ends));
  const [read = -1, write = -1] = ends;
  return { read: new Fd(read), write: new Fd(write) };
}

/** Bytes waiting to be read from a pipe, socket or tty (FIONREAD). */
export function bytesReadable(fd: Fd | number): number {
  return check('ioctl FIONREAD', native().bytesReadable(rawOf(fd)));
}

/** open(2) with O_CLOEXEC; for /dev/null, log files and the like. */
export function openFile(path: string, flags: number, mode = 0o666): Fd {
  noNul('open', path);
  return new Fd(check('open', native().open(path, flags, mode), path));
}

/** Sets or clears O_NONBLOCK, which belongs to the open file description and so to every duplicate. */
export function setNonBlock(fd: Fd | number, on: boolean): void {
  check('fcntl F_SETFL', native().setNonBlock(rawOf(fd), on));
}
