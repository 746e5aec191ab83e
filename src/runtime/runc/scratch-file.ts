import { closeSync, fstatSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';

let counter = 0;

/**
 * A file without a name, for what a runtime command reads on stdin or prints. Unlike a pipe it
 * needs no reading while the command runs: nothing wakes the event loop, and a command that
 * succeeds silently costs three system calls.
 */
export class ScratchFile implements Disposable {
  readonly fd: number;

  /** `directory` should be on a tmpfs. */
  constructor(directory: string) {
    counter += 1;
    // '~' is in no container id, so the name cannot meet a container's directory.
    const path = join(directory, `~${process.pid}-${counter}`);
    this.fd = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
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
