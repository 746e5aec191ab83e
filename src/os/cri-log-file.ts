import { check } from './errors.ts';
import type { Fd } from './fd.ts';
import { type CriLogHandle, native } from './native.ts';
import { noNul } from './text.ts';

export interface CriLogFileOptions {
  /** Size of a file beyond which a new one is begun; 0 or absent: no limit. */
  maxBytes?: number;
  /** Files in all, at least 1; default 1. */
  maxFiles?: number;
  /** Of files that are made; default 0640. */
  mode?: number;
}

export interface CriLogCounts {
  /** Entries written. */
  entries: number;
  /** Entries that could not be written. */
  lost: number;
  rotations: number;
  /** errno(3) of the latest failure, else 0. */
  errno: number;
}

/** An open log of native/addon/cri_log.c, which relays write to. */
export class CriLogFile implements Disposable {
  readonly handle: CriLogHandle;
  #open = true;
  #last: CriLogCounts = { entries: 0, lost: 0, rotations: 0, errno: 0 };

  /**
   * Opens to append; what an interrupted write has left of an entry is cut off. No link is followed.
   * Throws OsError: ENODEV for anything but a regular file, ENAMETOOLONG above 244 bytes.
   */
  constructor(directory: Fd, name: string, options: CriLogFileOptions = {}) {
    noNul('open', name);
    const { maxBytes = 0, maxFiles = 1, mode = 0o640 } = options;
    const handle = native().criLogOpen(directory.raw, name, mode, maxBytes, maxFiles);
    if (typeof handle === 'number') {
      check('open', handle, name);
      throw new TypeError('native log without a handle');
    }
    this.handle = handle;
  }

  get counts(): CriLogCounts {
    if (!this.#open) return this.#last;
    const [entries, lost, rotations, errno] = native().criLogCounts(this.handle);
    return { entries, lost, rotations, errno };
  }

  /** Writes entries for some bytes of a stream; blocks for as long as write(2) does. */
  write(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    check('write', native().criLogWrite(this.handle, stream === 'stderr' ? 1 : 0, bytes));
  }

  /** Goes on in a new file under the same name. After an error the old one goes on. */
  reopen(): void {
    check('open', native().criLogReopen(this.handle));
  }

  /** Relays that write to it go on. */
  close(): void {
    if (!this.#open) return;
    this.#last = this.counts;
    this.#open = false;
    native().criLogClose(this.handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
