import { check } from '../../os/errors.ts';
import { Fd } from '../../os/fd.ts';
import { native } from '../../os/native.ts';
import { FdPoll } from '../../os/poll.ts';

// inotify(7)
const IN_MODIFY = 0x2;
const IN_MOVED_TO = 0x80;
const IN_CREATE = 0x100;
const MASK = IN_MODIFY | IN_MOVED_TO | IN_CREATE;
const BUFFER = 64 * 1024;

/**
 * Tells that something was written, made or renamed in a directory: what a follower of a log waits
 * for. One inotify instance for all who watch at a time; it is given back with the last of them.
 */
class DirectoryWatcher {
  readonly #fd = new Fd(check('inotify_init1', native().inotifyInit()));
  readonly #poll = new FdPoll(this.#fd.raw, { read: true }, () => this.#take());
  readonly #listeners = new Map<number, Set<() => void>>();

  add(directory: string, onChange: () => void): number {
    const result = native().inotifyAdd(this.#fd.raw, directory, MASK);
    const watch = check('inotify_add_watch', result, directory);
    // The same directory, by whatever name, is the same watch.
    const listeners = this.#listeners.get(watch) ?? new Set();
    this.#listeners.set(watch, listeners.add(onChange));
    return watch;
  }

  /** False when nobody is left. */
  remove(watch: number, onChange: () => void): boolean {
    const listeners = this.#listeners.get(watch);
    listeners?.delete(onChange);
    if (listeners?.size === 0) {
      this.#listeners.delete(watch);
      native().inotifyRemove(this.#fd.raw, watch);
    }
    return this.#listeners.size > 0;
  }

  close(): void {
    this.#poll.close();
    this.#fd.close();
  }

  /** What the events say does not matter: each listener looks for itself. */
  #take(): void {
    const bytes = new Uint8Array(BUFFER);
    const woken = new Set<number>();
    for (;;) {
      const length = native().readBytes(this.#fd.raw, bytes);
      if (length <= 0) break;
      const view = new DataView(bytes.buffer, 0, length);
      for (let at = 0; at < length; at += 16 + view.getUint32(at + 12, true)) {
        woken.add(view.getInt32(at, true));
      }
    }
    // -1: the kernel's queue has overflown, anything may have happened.
    const all = woken.has(-1);
    for (const [watch, listeners] of this.#listeners) {
      if (all || woken.has(watch)) for (const listener of listeners) listener();
    }
  }
}

let shared: DirectoryWatcher | undefined;

/** Calls `onChange` until it is disposed of. Throws OsError (ENOENT, ENOSPC, EMFILE). */
export function watchDirectory(directory: string, onChange: () => void): Disposable {
  shared ??= new DirectoryWatcher();
  const watcher = shared;
  const end = (remains: boolean): void => {
    if (remains) return;
    watcher.close();
    shared = undefined;
  };
  let watch: number;
  try {
    watch = watcher.add(directory, onChange);
  } catch (error) {
    end(watcher.remove(-2, onChange));
    throw error;
  }
  return { [Symbol.dispose]: () => end(watcher.remove(watch, onChange)) };
}
