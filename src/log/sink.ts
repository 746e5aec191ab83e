import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';

/** Where lines of the log go. Never blocks and never throws. */
export interface LogSink extends Disposable {
  write(line: string): void;
  /** Tries once more to write what waits: before the process ends. */
  flush(): void;
}

/** Wakes when a descriptor can be written again. */
export type WatchWritable = (fd: number, onWritable: () => void) => Disposable;

export interface FdSinkOptions {
  /** Makes the line that says how many were dropped. */
  readonly droppedLine: (count: number) => string;
  /** Bytes that may wait for a reader that has stopped; beyond it lines are dropped and counted. */
  readonly maxWaitingBytes?: number;
  readonly watchWritable: WatchWritable;
  /** Close the descriptor with the sink. */
  readonly owned: boolean;
}

const DEFAULT_WAITING_BYTES = 1024 * 1024;
/** The reader is gone for good. */
const gone = new Set(['EPIPE', 'ECONNRESET', 'ENOTCONN', 'EBADF', 'ESHUTDOWN']);

/**
 * Writes each line at once, in the call that logs it, so that nothing is lost with the process.
 * Only while the reader of a non-blocking descriptor has stopped do lines wait, within a bound.
 */
export class FdSink implements LogSink {
  readonly #fd: number;
  readonly #options: FdSinkOptions;
  readonly #maxWaiting: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #watch: Disposable | undefined;
  #open = true;

  constructor(fd: number, options: FdSinkOptions) {
    this.#fd = fd;
    this.#options = options;
    this.#maxWaiting = options.maxWaitingBytes ?? DEFAULT_WAITING_BYTES;
  }

  write(line: string): void {
    if (!this.#open) return;
    if (this.#dropped > 0 && this.#waitingBytes === 0) this.#reportDropped();
    const bytes = Buffer.from(line);
    if (this.#waitingBytes + bytes.length > this.#maxWaiting) this.#dropped += 1;
    else this.#enqueue(bytes);
  }

  flush(): void {
    this.#drain();
    if (this.#dropped > 0 && this.#waitingBytes === 0) this.#reportDropped();
  }

  [Symbol.dispose](): void {
    this.flush();
    this.#close();
  }

  #enqueue(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    // Behind others it waits for the reader like them.
    if (this.#watch === undefined) this.#drain();
  }

  #reportDropped(): void {
    const count = this.#dropped;
    this.#dropped = 0;
    this.#enqueue(Buffer.from(this.#options.droppedLine(count)));
    // The report itself could not be written: it is made again, and is no entry that was dropped.
    if (this.#dropped > 0) this.#dropped = count;
  }

  #drain(): void {
    for (;;) {
      const first = this.#waiting[0];
      if (first === undefined) break;
      const written = this.#tryWrite(first);
      // Writing may have found the reader gone: then nothing waits any more.
      if (written === undefined || !this.#open) return;
      this.#waitingBytes -= written;
      if (written < first.length) this.#waiting[0] = first.subarray(written);
      else this.#waiting.shift();
    }
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
  }

  /** Bytes that are done with; undefined when the reader has to be waited for. */
  #tryWrite(bytes: Buffer): number | undefined {
    try {
      return writeSync(this.#fd, bytes);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? '';
      if (code === 'EINTR') return 0;
      if (code === 'EAGAIN') {
        this.#watch ??= this.#options.watchWritable(this.#fd, () => this.flush());
        return undefined;
      }
      if (gone.has(code)) this.#close();
      // There is no place to report the failure of the log to; a full disk may have room later.
      this.#dropped += 1;
      return bytes.length;
    }
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (this.#options.owned) closeSync(this.#fd);
  }
}

/**
 * A descriptor like `fd` that never blocks. Pipes and terminals are opened anew, so that others
 * who write to the same pipe (the shell that started us) do not notice. A socket cannot be, there
 * the flag is set on what all share. Files do not block.
 */
export function openNonBlocking(
  fd: number,
  setNonBlock: (fd: number) => void,
): { fd: number; owned: boolean } {
  const stat = fstatSync(fd);
  if (stat.isSocket()) {
    setNonBlock(fd);
    return { fd, owned: false };
  }
  if (!stat.isFIFO() && !isatty(fd)) return { fd, owned: false };
  const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
  try {
    return { fd: openSync(`/proc/self/fd/${fd}`, flags), owned: true };
  } catch {
    // No /proc, a terminal of somebody else, a pipe nobody reads: what remains is the flag.
    setNonBlock(fd);
    return { fd, owned: false };
  }
}
