import { type FSWatcher, watch } from 'node:fs';
import { isAbsence, KeyedCounts, readFileIfPresent } from './files.ts';
import type { Cgroup } from './hierarchy.ts';
import { LegacyMemoryEvent } from './memory-events.ts';

/** What a watch has seen since it began. */
export interface OomCounts {
  /** How often the kernel found no memory for a process of the cgroup, by its own limit or one above it. */
  readonly events: number;
  /** Processes of the cgroup that it killed then, those before the watch included. */
  readonly kills: number;
}

/**
 * Told by the kernel, as it happens, that a cgroup is out of memory. v1: an eventfd on
 * memory.oom_control; v2: inotify on memory.events. Ends by
 * itself when the cgroup is removed; keeps no event loop alive.
 */
export class OomWatch implements Disposable {
  readonly #release: () => void;
  /** What the kernel has counted by now; undefined when the cgroup is gone. */
  #read: () => OomCounts | undefined = () => undefined;
  /** As last read. */
  #counts: OomCounts = { events: 0, kills: 0 };
  /** As last told. */
  #told = this.#counts;
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

  /** Also those of an event that is on its way: v1 announces it before it looks for something to kill. */
  get counts(): OomCounts {
    this.#counts = this.#read() ?? this.#counts;
    return this.#counts;
  }

  #watchLegacy(directory: string, onEvent: (counts: OomCounts) => void): () => void {
    const file = `${directory}/memory.oom_control`;
    let events = 0;
    this.#read = () => {
      const kills = legacyKills(file);
      return kills === undefined ? undefined : { events, kills };
    };
    const event = new LegacyMemoryEvent(directory, 'memory.oom_control', (count) => {
      events += count;
      this.#look(onEvent);
    });
    return () => event[Symbol.dispose]();
  }

  #watchUnified(directory: string, onEvent: (counts: OomCounts) => void): () => void {
    const file = `${directory}/memory.events`;
    const watcher: FSWatcher = watch(file, { persistent: false }, () => this.#look(onEvent));
    watcher.on('error', () => this.close());
    this.#read = () => unifiedCounts(file);
    this.#counts = this.#told = this.#read() ?? this.#counts;
    return () => watcher.close();
  }

  #look(onEvent: (counts: OomCounts) => void): void {
    if (!this.#open) return;
    const before = this.#told;
    const counts = this.#read();
    if (counts === undefined) {
      // The removal of the cgroup is told like any other event.
      this.close();
      return;
    }
    // memory.events also changes for other reasons.
    if (counts.events === before.events && counts.kills === before.kills) return;
    this.#counts = this.#told = counts;
    onEvent(counts);
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

function legacyKills(file: string): number | undefined {
  const text = readFileIfPresent(file);
  return text === undefined ? undefined : Number(new KeyedCounts(text).get('oom_kill'));
}

function unifiedCounts(file: string): OomCounts | undefined {
  const text = readFileIfPresent(file);
  if (text === undefined) return undefined;
  const counts = new KeyedCounts(text);
  return { events: Number(counts.get('oom')), kills: Number(counts.get('oom_kill')) };
}
