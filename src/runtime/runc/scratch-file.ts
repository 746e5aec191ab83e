import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { hasCode } from '../../os/errors.ts';

/** open(2), with the O_DIRECTORY that belongs to it; Node does not name it. The same on all that Node runs on. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

let counter = 0;

/**
 * A file without a name, for what a runtime command reads on stdin or prints. Unlike a pipe it
 * needs no reading while the command runs: nothing wakes the event loop, and a command that
 * succeeds silently costs two system calls.
 */
export class ScratchFile implements Disposable {
  readonly fd: number;

  /** `directory` should be on a tmpfs. */
  constructor(directory: string) {
    this.fd = openNameless(directory) ?? openUnlinked(directory);
  }

  /** A file that a command reads `text` from. */
  static holding(directory: string, text: string): ScratchFile {
    const file = new ScratchFile(directory);
    try {
      const bytes = Buffer.from(text);
      // At explicit positions: the file offset, which the command shares, stays at the start.
      for (let at = 0; at < bytes.length; ) {
        at += writeSync(file.fd, bytes, at, bytes.length - at, at);
      }
      return file;
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  get size(): number {
    return fstatSync(this.fd).size;
  }

  /** The last `limit` bytes as UTF-8. */
  tail(limit: number): string {
    return readTail(this.fd, 0, limit);
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** Undefined where the file system cannot do that (overlayfs until Linux 6.x). */
function openNameless(directory: string): number | undefined {
  try {
    return openSync(directory, O_TMPFILE | constants.O_RDWR, 0o600);
  } catch (error) {
    if (hasCode(error, 'EOPNOTSUPP')) return undefined;
    throw error;
  }
}

function openUnlinked(directory: string): number {
  counter += 1;
  // '~' is in no container id, so the name cannot meet a container's directory.
  const path = join(directory, `~${process.pid}-${counter}`);
  const fd = openSync(path, 'wx+', 0o600);
  unlinkSync(path);
  return fd;
}

/** What an open file holds after byte `from`, at most its last `limit` bytes, as UTF-8. */
export function readTail(fd: number, from: number, limit: number): string {
  const end = fstatSync(fd).size;
  const start = Math.max(from, end - limit);
  if (end <= start) return '';
  const bytes = Buffer.alloc(end - start);
  let length = 0;
  while (length < bytes.length) {
    const count = readSync(fd, bytes, length, bytes.length - length, start + length);
    if (count === 0) break;
    length += count;
  }
  return bytes.toString('utf8', 0, length);
}
