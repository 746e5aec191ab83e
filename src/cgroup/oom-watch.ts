import { constants, type FSWatcher, watch, writeFileSync } from 'node:fs';
import { check } from '../os/errors.ts';
import { Fd } from '../os/fd.ts';
import { native } from '../os/native.ts';
import { openFile } from '../os/pipe.ts';
import { FdPoll } from '../os/poll.ts';
import { isAbsence, KeyedCounts, readFileIfPresentSync } from './files.ts';
import type { Cgroup } from './hierarchy.ts';

/** What a watch has seen since it began. */
export interface OomCounts {
  /** How often the kernel found no memory for a process of the cgroup, by its own limit or one above it. */
  readonly events: number;
  /** Processes of the cgroup that it killed then, those before the watch included. */
  readonly kills: number;
}

/**
 * Told by the kernel, as it happens, that a cgroup is out of memory. v1: an eventfd on
 * memory.oom_control (cgroups(7), "cgroup.event_control"); v2: inotify on memory.events. Ends by
 * itself when the cgroup is removed; keeps no event loop alive.
 */
export class OomWatch implements Disposable {
  readonly #release: () => void;
  #counts: OomCounts = { events: 0, kills: 0 };
  #open = true;

  private constructor(start: (watch: OomWatch) => () => void) {
    this.#release = start(this);
  }

  /** Undefined where nothing counts memory, also when the cgroup is gone. `onEvent` gets the counts after each change. */
  static start(cgroup: Cgroup, onEvent: (counts: OomCounts) => void): OomWatch | undefined {
    const legacy = cgroup.controllers.get('memory');
    const directory = legacy ?? cgroup.unified;
    if (directory === undefined) return undefined;
    try {
      return new OomWatch((self) =>
        legacy === undefined
          ? self.#watchUnified(directory, onEvent)
          : self.#watchLegacy(directory, onEvent),
      );
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw error;
    }
  }

  get counts(): OomCounts {
    return this.#counts;
  }

  #watchLegacy(directory: string, onEvent: (counts: OomCounts) => void): () => void {
    const file = `${directory}/memory.oom_control`;
    const event = new Fd(check('eventfd', native().eventFd()));
    try {
      using control = openFile(file, constants.O_RDONLY);
      writeFileSync(`${directory}/cgroup.event_control`, `${event.raw} ${control.raw}`, {
        flag: 'r+',
      });
    } catch (error) {
      event.close();
      throw error;
    }
    const poll = new FdPoll(event.raw, { read: true }, () => {
      const count = takeCount(event);
      // The removal of the cgroup is told through the same counter.
      const kills = legacyKills(file);
      if (kills === undefined) this.close();
      else if (count > 0) this.#report(this.#counts.events + count, kills, onEvent);
    });
    poll.unref();
    return () => {
      poll.close();
      event.close();
    };
  }

  #watchUnified(directory: string, onEvent: (counts: OomCounts) => void): () => void {
    const file = `${directory}/memory.events`;
    const look = (): void => {
      const counts = unifiedCounts(file);
      if (counts === undefined) this.close();
      else this.#report(counts.events, counts.kills, onEvent);
    };
    const watcher: FSWatcher = watch(file, { persistent: false }, look);
    watcher.on('error', () => this.close());
    const before = unifiedCounts(file);
    if (before !== undefined) this.#counts = before;
    return () => watcher.close();
  }

  #report(events: number, kills: number, onEvent: (counts: OomCounts) => void): void {
    if (!this.#open) return;
    // memory.events also changes for other reasons.
    if (events === this.#counts.events && kills === this.#counts.kills) return;
    this.#counts = { events, kills };
    onEvent(this.#counts);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#release();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** eventfd(2): the counter, which is zero again then; 0 when there was nothing. */
function takeCount(event: Fd): number {
  const bytes = new BigUint64Array(1);
  const length = native().readBytes(event.raw, new Uint8Array(bytes.buffer));
  return length < 0 ? 0 : Number(bytes[0]);
}

function legacyKills(file: string): number | undefined {
  const text = readFileIfPresentSync(file);
  return text === undefined ? undefined : Number(new KeyedCounts(text).get('oom_kill'));
}

function unifiedCounts(file: string): OomCounts | undefined {
  const text = readFileIfPresentSync(file);
  if (text === undefined) return undefined;
  const counts = new KeyedCounts(text);
  return { events: Number(counts.get('oom')), kills: Number(counts.get('oom_kill')) };
}
