import { readSync } from 'node:fs';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { untilReady } from '../os/poll.ts';

/** 16 random bytes in hexadecimal digits, and a line feed. */
const LINE_BYTES = 33;

/**
 * Reads the line a stream begins with; undefined for anything else. Not a byte behind it is taken:
 * the descriptor is a process's input next. Rejects with the signal's reason or the error of read(2).
 */
export async function readToken(fd: Fd, signal: AbortSignal): Promise<string | undefined> {
  const line = Buffer.alloc(LINE_BYTES);
  let length = 0;
  while (length < LINE_BYTES) {
    signal.throwIfAborted();
    const count = readSome(fd, line, length);
    if (count === 'later') await untilReady(fd.raw, { read: true }, { signal });
    else if (count === 0) return undefined;
    else length += count;
  }
  return /^([0-9a-f]{32})\n$/.exec(line.toString('latin1'))?.[1];
}

function readSome(fd: Fd, into: Buffer, at: number): number | 'later' {
  try {
    return readSync(fd.raw, into, at, into.length - at, null);
  } catch (error) {
    if (hasCode(error, 'EAGAIN') || hasCode(error, 'EINTR')) return 'later';
    throw error;
  }
}
