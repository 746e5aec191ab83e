import type { Fd } from './fd.ts';
/** pipe2(2), close-on-exec on both ends; neither end is non-blocking unless asked for. */
export declare function pipe(options?: {
  nonBlockRead?: boolean;
  nonBlockWrite?: boolean;
  size?: number;
}): { read: Fd; write: Fd };
/** Bytes waiting to be read from a pipe, socket or tty (FIONREAD). */
export declare function bytesReadable(fd: Fd | number): number;
/** open(2) with O_CLOEXEC; for /dev/null, log files and the like. */
export declare function openFile(path: string, flags: number, mode?: number): Fd;
