import { check, OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { FdPoll } from './poll.ts';

// inotify(7)
const IN_CLOSE_WRITE = 0x8;
const IN_MOVED_TO = 0x80;
const IN_DELETE = 0x200;
const IN_ONLYDIR = 0x0100_0000;
/** Of struct inotify_event, before the name: wd, mask, cookie, len. */
const HEADER_SIZE = 16;

/** A file that somebody is about to write, or to remove. */
export interface AwaitedFile extends Disposable {
  /** Resolves when it is there with all its content, or gone; never rejects, and stays pending after dispose. */
  readonly complete: Promise<void>;
}

interface Awaited {
  readonly name: Buffer;
  readonly resolve: () => void;
}

/**
 * Tells when files are complete (renamed to their name, or closed by who wrote them) or gone. One inotify
 * instance for all (a user has 128, fs.inotify.max_user_instances), and for good: closing one takes
 * the kernel a grace period of some ten milliseconds.
 */
class CompletedFiles {
  readonly #fd = new Fd(check('inotify_init1', native().inotifyInit()));
  readonly #byWatch = new Map<number, Awaited>();
  readonly #buffer = Buffer.alloc(64 * 1024);
  readonly #poll: FdPoll;

  constructor() {
    try {
      this.#poll = new FdPoll(this.#fd.raw, { read: true }, () => this.#read());
    } catch (error) {
      this.#fd.close();
      throw error;
    }
    // Who waits for a file also waits for the one who writes it.
    this.#poll.unref();
  }

  add(directory: string, events: number, awaited: Awaited): number {
    const result = native().inotifyAdd(this.#fd.raw, directory, events | IN_ONLYDIR);
    const watch = check('inotify_add_watch', result, directory);
    this.#byWatch.set(watch, awaited);
    return watch;
  }

  remove(watch: number): void {
    this.#byWatch.delete(watch);
    // EINVAL: the directory is gone, and its watch with it.
    native().inotifyRemove(this.#fd.raw, watch);
  }

  /** An overflow of the queue loses events: who waits then goes by the end of the one who writes. */
  #read(): void {
    for (;;) {
      const length = native().readBytes(this.#fd.raw, this.#buffer);
      if (length <= 0) return;
      let offset = 0;
      while (offset + HEADER_SIZE <= length) offset += this.#take(offset);
    }
  }

  #take(offset: number): number {
    const length = this.#buffer.readUInt32LE(offset + 12);
    const awaited = this.#byWatch.get(this.#buffer.readInt32LE(offset));
    const start = offset + HEADER_SIZE;
    const name = this.#buffer.subarray(start, start + length);
    // The name is padded with NULs.
    if (awaited !== undefined && name.subarray(0, name.indexOf(0)).equals(awaited.name))
      awaited.resolve();
    return HEADER_SIZE + length;
  }
}

/** Of inotify_init1(2) and inotify_add_watch(2): the user's or the machine's limit. */
const NO_WATCH_LEFT: readonly string[] = ['ENOSPC', 'EMFILE', 'ENFILE'];

let shared: CompletedFiles | undefined;

/**
 * Opens what all waits share: it stays open, so whoever counts descriptors wants it early. Where the
 * kernel has none left it is tried again with each wait.
 */
export function prepareFileWaits(): void {
  shared ??= unless(NO_WATCH_LEFT, () => new CompletedFiles());
}

/**
 * Waits for the file `name` in `directory`, which must be there and is waited in by one at a time.
 * Throws OsError: ENOENT, ENOSPC (fs.inotify.max_user_watches), EMFILE.
 */
export function awaitFile(directory: string, name: string): AwaitedFile {
  return awaitEvent(directory, IN_CLOSE_WRITE | IN_MOVED_TO, name);
}

function awaitEvent(directory: string, events: number, name: string): AwaitedFile {
  shared ??= new CompletedFiles();
  const files = shared;
  const { promise, resolve } = Promise.withResolvers<void>();
  let watch: number | undefined = files.add(directory, events, {
    name: Buffer.from(name),
    resolve,
  });
  return {
    complete: promise,
    [Symbol.dispose]: () => {
      if (watch !== undefined) files.remove(watch);
      watch = undefined;
    },
  };
}

/** For callers to whom the file is only a shortcut: undefined when the kernel has no watch left. */
export function tryAwaitFile(directory: string, name: string): AwaitedFile | undefined {
  return unless(NO_WATCH_LEFT, () => awaitFile(directory, name));
}

/** The removal of a file; also undefined when the directory is not there. */
export function tryAwaitRemoval(directory: string, name: string): AwaitedFile | undefined {
  return unless([...NO_WATCH_LEFT, 'ENOENT'], () => awaitEvent(directory, IN_DELETE, name));
}

function unless<T>(codes: readonly string[], make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof OsError && codes.includes(error.code)) return undefined;
    throw error;
  }
}
