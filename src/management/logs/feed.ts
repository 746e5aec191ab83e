import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path/posix';
import type { Writable } from 'node:stream';
import { ManagementError } from '../errors.ts';
import { nextLogFile, openLogFiles, openYoungestLogFile } from './files.ts';
import { SinceFilter } from './since.ts';
import { tailOf } from './tail.ts';
import { watchDirectory } from './watch.ts';

export interface LogRequest {
  readonly path: string;
  /** Go on with what is written, until this settles: then all that there will be is there. */
  readonly until?: Promise<void>;
  /** Bytes of the current file to leave out; those that were rotated are left out then too. */
  readonly offset?: number;
  /** Only so many lines of the end. */
  readonly tail?: number;
  /** Only from this time on, in milliseconds since 1970. */
  readonly since?: number;
}

const BLOCK = 64 * 1024;

/** One reading of a log, across its rotations, no byte lost and none twice. */
export class LogFeed {
  readonly #request: LogRequest;
  readonly #out: Writable;
  readonly #signal: AbortSignal;
  readonly #since: SinceFilter | undefined;
  readonly #block = Buffer.allocUnsafe(BLOCK);
  /** In the file that is being read. */
  #position = 0;
  #sent = 0;
  #over = false;
  #wake = Promise.withResolvers<void>();

  /** Aborting `signal` ends it, as does an end of `out`. */
  constructor(request: LogRequest, out: Writable, signal: AbortSignal) {
    this.#request = request;
    this.#out = out;
    this.#signal = signal;
    this.#since = request.since === undefined ? undefined : new SinceFilter(request.since);
  }

  /** ManagementError 'path-not-found' when there is no log. */
  async run(): Promise<{ bytes: number; nextOffset: number }> {
    const { path, until } = this.#request;
    const wake = (): void => this.#wake.resolve();
    this.#signal.addEventListener('abort', wake, { once: true });
    this.#out.once('close', wake);
    void until?.then(() => {
      this.#over = true;
      wake();
    });
    // Before the first look: what is written between that and the wait wakes the wait.
    using _watch = until === undefined ? undefined : watchDirectory(dirname(path), wake);
    try {
      await this.#readAll();
      return { bytes: this.#sent, nextOffset: this.#position };
    } finally {
      this.#signal.removeEventListener('abort', wake);
      this.#out.off('close', wake);
    }
  }

  async #readAll(): Promise<void> {
    const files = await this.#first();
    try {
      for (const [index, file] of files.entries()) {
        if (index > 0) this.#position = 0;
        await this.#copy(file);
      }
      if (this.#request.until !== undefined) await this.#follow(files);
    } finally {
      for (const file of files) await file.close();
    }
  }

  /** The files to read, open, with the position in the first of them. */
  async #first(): Promise<FileHandle[]> {
    const { path, offset, tail } = this.#request;
    const files =
      offset === undefined ? await openLogFiles(path) : [await openYoungestLogFile(path)];
    const present = files.filter((file) => file !== undefined);
    if (present.length === 0) throw new ManagementError('path-not-found', `no log at ${path}`);
    this.#position = offset ?? 0;
    if (tail === undefined) return present;
    const wanted: FileHandle[] = [];
    let missing = tail;
    for (const file of present.toReversed()) {
      if (wanted.length > 0 && missing === 0) {
        await file.close();
        continue;
      }
      const { offset: start, found } = await tailOf(file, missing);
      wanted.unshift(file);
      this.#position = Math.max(start, wanted.length === 1 ? (offset ?? 0) : 0);
      missing -= found;
    }
    return wanted;
  }

  /** `files`: the last one is read on; what replaces it is added, so that it is closed with the others. */
  async #follow(files: FileHandle[]): Promise<void> {
    const { path } = this.#request;
    while (!this.#ended) {
      const over = this.#over;
      this.#wake = Promise.withResolvers();
      const current = files.at(-1) as FileHandle;
      await this.#copy(current);
      const next = await nextLogFile(path, current);
      if (next !== undefined) {
        // It was written to until it was renamed.
        await this.#copy(current);
        await files.pop()?.close();
        files.push(next);
        this.#position = 0;
      } else if (over) {
        return;
      } else if (!this.#ended && !this.#over) {
        await this.#wake.promise;
      }
    }
  }

  get #ended(): boolean {
    return this.#signal.aborted || this.#out.destroyed || this.#out.writableEnded;
  }

  /** From the position to the end of the file. */
  async #copy(file: FileHandle): Promise<void> {
    if ((await file.stat()).size < this.#position) this.#position = 0; // Emptied in place.
    while (!this.#ended) {
      const { bytesRead } = await file.read(this.#block, 0, BLOCK, this.#position);
      if (bytesRead === 0) return;
      this.#position += bytesRead;
      await this.#send(Buffer.from(this.#block.subarray(0, bytesRead)));
    }
  }

  async #send(chunk: Buffer): Promise<void> {
    const bytes = this.#since?.filter(chunk) ?? chunk;
    if (bytes.length === 0) return;
    this.#sent += bytes.length;
    if (this.#out.write(bytes)) return;
    const settled = new AbortController();
    const { signal } = settled;
    try {
      // Rejects when it is destroyed, also by the end of the request.
      await Promise.race([
        once(this.#out, 'drain', { signal }),
        once(this.#out, 'close', { signal }),
      ]);
    } finally {
      settled.abort();
    }
  }
}
