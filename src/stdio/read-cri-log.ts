import { type FSWatcher, watch } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { constants } from 'node:os';
import { OsError } from '../os/errors.ts';
import { type CriLogEntry, parseCriLogLine } from './cri-log-entry.ts';
import { type LogFile, LogFiles } from './cri-log-files.ts';
import { criLogLineBytes } from './limits.ts';

/** Where an entry begins or ends. */
export interface CriLogPosition {
  /** CriLogEntry.file; absent: the file being written now. */
  file?: string | undefined;
  offset: number;
}

export interface ReadCriLogOptions {
  /** Waits for more at the end, until `signal` or `over`. */
  follow?: boolean;
  /** Begins there: at the `end` of the last entry that a reader has had. */
  from?: CriLogPosition | undefined;
  /** Begins with the last so many entries. */
  tail?: number | undefined;
  /** Leaves out what is older; milliseconds since the epoch. */
  since?: number | undefined;
  /** Ends the reading with its reason. */
  signal?: AbortSignal | undefined;
  /** Nobody writes any more: what is there is read, and then even a follower ends. */
  over?: AbortSignal | undefined;
}

const BLOCK = 65_536;
const NEWLINE = 0x0a;

/**
 * Reads a log in the CRI's format from its oldest file on, across rotations, also by names that
 * change while it reads. Lines that are no entries are skipped and counted. A file that shrinks (it
 * was truncated) is read from its beginning; one that has grown again meanwhile beyond where the
 * reader was cannot be told from one that was not truncated.
 *
 * Throws ENOENT where there is no log and none is waited for.
 */
export function readCriLog(path: string, options: ReadCriLogOptions = {}): CriLogReader {
  return new CriLogReader(path, options);
}

export class CriLogReader implements AsyncIterable<CriLogEntry> {
  readonly #path: string;
  readonly #files: LogFiles;
  readonly #options: ReadCriLogOptions;
  #skipped = 0;
  #gaps = 0;

  constructor(path: string, options: ReadCriLogOptions) {
    this.#path = path;
    this.#files = new LogFiles(path);
    this.#options = options;
  }

  /** Lines so far that were no entries. */
  get skipped(): number {
    return this.#skipped;
  }

  /** How often files, or parts of them, were gone before they could be read. */
  get gaps(): number {
    return this.#gaps;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<CriLogEntry, void, undefined> {
    const { follow = false, signal, since } = this.#options;
    signal?.throwIfAborted();
    // Before the first look: what changes from now on is seen.
    using changes = follow ? new Changes(this.#files, this.#options) : undefined;
    let current = await this.#begin(changes);
    try {
      while (current !== undefined) {
        for await (const entry of this.#rest(current))
          if (since === undefined || Date.parse(entry.time) >= since) yield entry;
        const next = await this.#advance(current, changes);
        if (next !== current) await current.handle.close();
        current = next;
      }
    } finally {
      await current?.handle.close();
    }
  }

  /** Where to go on at the end of `current`: there too when more has come or may come, nowhere when all is read. */
  async #advance(current: Place, changes: Changes | undefined): Promise<Place | undefined> {
    const { over } = this.#options;
    const finished = over?.aborted ?? false;
    changes?.forget();
    const next = await this.#files.after(current.file);
    if (await this.#grown(current)) {
      await next?.handle.close();
      return current;
    }
    if (next !== undefined) {
      if (next.gap) this.#gaps++;
      return placeIn(next, 0);
    }
    if (changes === undefined || finished) return undefined;
    await changes.next();
    return current;
  }

  /** Whether there is a whole line more, or the file has been truncated. */
  async #grown(current: Place): Promise<boolean> {
    const { size } = await current.handle.stat();
    return size < current.position || size > current.seen;
  }

  /** Lines from `place` on, as far as they are whole. */
  async *#rest(place: Place): AsyncGenerator<CriLogEntry, void, undefined> {
    for (;;) {
      this.#options.signal?.throwIfAborted();
      const { size } = await place.handle.stat();
      if (size < place.position) {
        this.#gaps++;
        place.position = place.seen = 0;
      }
      if (size <= place.seen || size === place.position) return;
      const wanted = Math.min(
        size - place.position,
        Math.max(BLOCK, 2 * (place.seen - place.position)),
      );
      const buffer = Buffer.allocUnsafe(wanted);
      const { bytesRead } = await place.handle.read(buffer, 0, wanted, place.position);
      if (bytesRead === 0) return;
      yield* this.#entries(place, buffer.subarray(0, bytesRead));
    }
  }

  *#entries(place: Place, block: Buffer): Generator<CriLogEntry, void, undefined> {
    const start = place.position;
    place.seen = start + block.length;
    let at = 0;
    for (;;) {
      const newline = block.indexOf(NEWLINE, at);
      if (newline < 0) break;
      const line = block.subarray(at, newline + 1);
      const offset = start + at;
      at = newline + 1;
      place.position = start + at;
      const parts = place.discarding ? undefined : parseCriLogLine(line);
      if (parts === undefined) this.#skipped++;
      place.discarding = false;
      if (parts !== undefined) yield { ...parts, file: place.file, offset, end: start + at };
    }
    if (block.length - at <= criLogLineBytes) return;
    // No entry is that long. Its end is looked for without keeping it.
    place.discarding = true;
    place.position = start + block.length;
  }

  async #begin(changes: Changes | undefined): Promise<Place | undefined> {
    for (;;) {
      changes?.forget();
      const place = await this.#find();
      if (place !== undefined) return place;
      if (changes === undefined) throw new OsError('open', constants.errno.ENOENT, this.#path);
      if (this.#options.over?.aborted) return undefined;
      await changes.next();
    }
  }

  async #find(): Promise<Place | undefined> {
    const { from, tail } = this.#options;
    if (from !== undefined) return await this.#findPosition(from);
    const all = await this.#files.all();
    const start = tail === undefined ? { index: 0, position: 0 } : await tailOf(all, tail);
    for (const [index, { handle }] of all.entries())
      if (index !== start.index) await handle.close();
    const file = all[start.index];
    return file && placeIn(file, start.position);
  }

  async #findPosition({ file, offset }: CriLogPosition): Promise<Place | undefined> {
    const found = file === undefined ? await this.#files.latest() : await this.#files.find(file);
    if (found !== undefined) return placeIn(found, offset);
    const [oldest, ...others] = await this.#files.all();
    for (const { handle } of others) await handle.close();
    if (oldest !== undefined) this.#gaps++;
    return oldest && placeIn(oldest, 0);
  }
}

/** How far a file has been read. */
interface Place extends LogFile {
  /** Beginning of the first line that was not whole yet. */
  position: number;
  /** End of what was read, which may be of a part of that line. */
  seen: number;
  /** Within a line that is too long. */
  discarding: boolean;
}

function placeIn({ handle, file }: LogFile, position: number): Place {
  return { handle, file, position, seen: position, discarding: false };
}

/** Where the last `count` whole lines of some files, the oldest first, begin. */
async function tailOf(
  files: readonly LogFile[],
  count: number,
): Promise<{ index: number; position: number }> {
  let left = count;
  for (let index = files.length - 1; index >= 0; index--) {
    const { handle } = files[index] as LogFile;
    const lines = await tailPosition(handle, left);
    if (lines.left === 0) return { index, position: lines.position };
    left = lines.left;
  }
  return { index: 0, position: 0 };
}

async function tailPosition(
  handle: FileHandle,
  count: number,
): Promise<{ left: number; position: number }> {
  const { size } = await handle.stat();
  // The newline before the first of them ends the search.
  let newlines = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - BLOCK);
    const buffer = Buffer.allocUnsafe(end - start);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, start);
    for (let at = bytesRead - 1; at >= 0; at--) {
      if (buffer[at] !== NEWLINE) continue;
      newlines++;
      if (newlines === count + 1) return { left: 0, position: start + at + 1 };
    }
    end = start;
  }
  return { left: count - newlines, position: 0 };
}

/** Changes of a log's directory, none of which is missed between two looks. */
class Changes implements Disposable {
  readonly #watcher: FSWatcher;
  readonly #options: ReadCriLogOptions;
  #changed = false;
  #failure: unknown;
  #wake = (): void => {};
  readonly #stir = (): void => {
    this.#changed = true;
    this.#wake();
  };

  constructor(files: LogFiles, options: ReadCriLogOptions) {
    this.#options = options;
    this.#watcher = watch(files.directory, (_, name) => {
      if (files.concerns(name)) this.#stir();
    });
    this.#watcher.on('error', (error) => {
      this.#failure = error;
      this.#stir();
    });
    for (const signal of [options.signal, options.over])
      signal?.addEventListener('abort', this.#stir, { once: true });
  }

  forget(): void {
    this.#changed = false;
  }

  /** Resolves when something has changed since forget(), or nobody writes any more; rejects when the signal was aborted. */
  async next(): Promise<void> {
    if (!this.#changed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
    this.#options.signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    for (const signal of [this.#options.signal, this.#options.over])
      signal?.removeEventListener('abort', this.#stir);
  }
}
