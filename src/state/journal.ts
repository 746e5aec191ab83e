import { dirname } from 'node:path';
import type { Logger } from '../log/logger.ts';
import type { ProcessEnd } from '../os/process.ts';
import { StateDirectory, StateInUseError } from './directory.ts';
import type {
  AnnouncedExit,
  ContainerFacts,
  ContainerProgress,
  DoorExec,
  ProcessProgress,
  ProcessStreamsKind,
  RecordedEnd,
  SurroundingsRecord,
} from './records.ts';

/** A process whose end is recorded before it is collected, so that no exit code is in our memory alone. */
export interface RecordedProcess {
  readonly pid: number;
  readonly startTime: number;
  readonly ended?: ProcessEnd | undefined;
  beforeCollect?: ((end: ProcessEnd) => void) | undefined;
}

/** `path` undefined: nothing is kept. */
function openDirectory(path: string | undefined, log: Logger): StateDirectory | undefined {
  if (path === undefined) return undefined;
  try {
    return StateDirectory.open(path);
  } catch (error) {
    // An agent that cannot be followed by another is of more use than none.
    const text = error instanceof Error ? error.message : String(error);
    if (error instanceof StateInUseError) log.warning('state is not kept', { error: text });
    else log.error('state is not kept', { error: text });
    return undefined;
  }
}

/** What the journal writes: nothing where there is no directory, and never a failure of what it records. */
export class Journal {
  readonly #directory: StateDirectory | undefined;
  readonly #log: Logger;
  #lastNumber = 0;
  #failed = false;

  constructor(path: string | undefined, log: Logger) {
    this.#log = log;
    this.#directory = openDirectory(path, log);
  }

  /** The directory to recover from; undefined when nothing is kept. */
  get path(): string | undefined {
    return this.#directory?.path;
  }

  /** Number of the streams of a process, which no other has while there is a record of it. */
  nextNumber(): number {
    return ++this.#lastNumber;
  }

  /** Numbers up to this one are taken. */
  takeNumbers(upTo: number): void {
    this.#lastNumber = Math.max(this.#lastNumber, upTo);
  }

  /** A container that is about to be made. */
  createContainer(facts: ContainerFacts): ContainerRecord {
    this.attempt((directory) => {
      directory.makeDirectory(`c/${facts.id}/p`);
      directory.write(`c/${facts.id}/container.json`, facts);
    });
    return new ContainerRecord(this, facts.id, { phase: 'creating' });
  }

  /** A process of the VM that is about to be started. */
  createProcess(streams: ProcessStreamsKind, number: number): ProcessRecord {
    this.attempt((directory) => directory.makeDirectory('p'));
    return new ProcessRecord(this, `p/${number}.json`, { streams, phase: 'starting' });
  }

  /** What else an agent needs to know that takes the place of this one. */
  write(name: `${'network' | 'policy' | 'storage'}/${string}`, record: object): void {
    this.attempt((directory) => {
      directory.makeDirectory(dirname(name));
      directory.write(name, record);
    });
  }

  removeFile(name: string): void {
    this.attempt((directory) => directory.removeFile(name));
  }

  /**
   * A failure is told once: what runs is not ended because a file system is full. What is written
   * again later is whole again.
   */
  attempt(change: (directory: StateDirectory) => void): void {
    if (this.#directory === undefined) return;
    try {
      change(this.#directory);
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) this.#log.error('state cannot be written', { error: String(error) });
      this.#failed = true;
    }
  }

  /** An exit code that is not the process's own must not be taken for one. */
  tellUnknown({ reason }: ProcessEnd): void {
    if (reason !== undefined) this.#log.warning('exit code is not known', { reason });
  }

  /** The agent ends by itself and nothing is left to recover. */
  clear(): void {
    this.attempt((directory) => directory.clear());
  }
}

/** One file that is written anew at each transition. */
class Progress<T extends object> {
  readonly #journal: Journal;
  readonly #name: string;
  readonly #value: T;

  constructor(journal: Journal, name: string, value: T) {
    this.#journal = journal;
    this.#name = name;
    this.#value = value;
  }

  get value(): Readonly<T> {
    return this.#value;
  }

  set(change: Partial<T>): void {
    Object.assign(this.#value, change);
    this.#journal.attempt((directory) => directory.write(this.#name, this.#value));
  }
}

function recordOf({ status, endedAtNs, reason }: ProcessEnd): RecordedEnd {
  return { status, at: String(endedAtNs), ...(reason === undefined ? {} : { reason }) };
}

/** One container in the journal, from before anything of it is made until all of it is gone. */
export class ContainerRecord {
  readonly #journal: Journal;
  readonly #id: string;
  readonly #progress: Progress<ContainerProgress>;
  #surroundings: SurroundingsRecord;
  #removed = false;

  constructor(
    journal: Journal,
    id: string,
    progress: ContainerProgress,
    surroundings: SurroundingsRecord = {},
  ) {
    this.#journal = journal;
    this.#id = id;
    this.#progress = new Progress(journal, `c/${id}/state.json`, progress);
    this.#surroundings = surroundings;
  }

  get progress(): Readonly<ContainerProgress> {
    return this.#progress.value;
  }

  /** The bundle's config.json, which an exec needs for as long as the container is there. */
  keepSpec(file: string): void {
    this.#journal.attempt((directory) => directory.keepFile(file, `c/${this.#id}/spec.json`));
  }

  /** To be called before what is recorded is made. */
  surroundings(change: SurroundingsRecord): void {
    this.#surroundings = { ...this.#surroundings, ...change };
    this.#journal.attempt((directory) =>
      directory.write(`c/${this.#id}/surroundings.json`, this.#surroundings),
    );
  }

  /** The create has succeeded; the host has not been told yet. */
  created(init: RecordedProcess, membership: string | undefined): void {
    const { pid, startTime } = init;
    this.#progress.set({
      phase: 'created',
      createdAt: Date.now(),
      init: { pid, startTime },
      ...(membership === undefined ? {} : { membership }),
      ...(init.ended === undefined ? {} : { end: recordOf(init.ended) }),
    });
    this.watch(init);
  }

  /** Records the end of init. */
  watch(init: RecordedProcess): void {
    if (init.ended !== undefined) return;
    init.beforeCollect = (end) => this.ended(end);
  }

  /** True once nothing is recorded any more. */
  get removed(): boolean {
    return this.#removed;
  }

  phase(phase: ContainerProgress['phase']): void {
    this.#set({ phase });
  }

  running(options: { hub?: boolean } = {}): void {
    this.#set({ phase: 'running', startedAt: Date.now(), ...options });
  }

  /** Also one that was found by an agent that came after. */
  ended(end: ProcessEnd): void {
    this.#journal.tellUnknown(end);
    this.#set({ end: recordOf(end) });
  }

  endedBy(signal: number): void {
    this.#set({ endedBy: signal });
  }

  /** The end was told to who follows events: an agent that comes after does not tell it again. */
  tellsEnd(): void {
    this.#set({ endTold: true });
  }

  /** The end is to be told to the host: what it is told outlives the container. */
  announcing(exit: AnnouncedExit): void {
    this.#set({ exit });
  }

  /** The host has been told. */
  announced(): void {
    if (this.progress.phase === 'gone') this.#remove();
    else this.#set({ announced: true });
  }

  createProcess(streams: ProcessStreamsKind, number: number, door?: DoorExec): ProcessRecord {
    const name = `c/${this.#id}/p/${number}.json`;
    const progress = { streams, phase: 'starting' as const, door };
    return new ProcessRecord(this.#journal, name, progress, { of: this });
  }

  /** Nothing of it is left, but perhaps an announcement on its way. */
  remove(): void {
    const { exit, announced } = this.progress;
    if (exit === undefined || announced === true) this.#remove();
    else this.#set({ phase: 'gone' });
  }

  #remove(): void {
    this.#removed = true;
    this.#journal.attempt((directory) => directory.removeDirectory(`c/${this.#id}`));
  }

  #set(change: Partial<ContainerProgress>): void {
    if (!this.#removed) this.#progress.set(change);
  }
}

/** One process in the journal, until its exit code was asked for or its container is gone. */
export class ProcessRecord {
  readonly #journal: Journal;
  readonly #name: string;
  readonly #progress: Progress<ProcessProgress>;
  readonly #container: { readonly removed: boolean } | undefined;
  #removed = false;

  /** Written at once, unless it is `known` already. `of`: its container, whose record holds this one. */
  constructor(
    journal: Journal,
    name: string,
    progress: ProcessProgress,
    options: { known?: boolean; of?: ContainerRecord } = {},
  ) {
    this.#journal = journal;
    this.#name = name;
    this.#container = options.of;
    this.#progress = new Progress(journal, name, progress);
    if (options.known !== true) this.#set({});
  }

  get progress(): Readonly<ProcessProgress> {
    return this.#progress.value;
  }

  /** It runs, and the host is going to be told. */
  running(process: RecordedProcess): void {
    const { pid, startTime, ended } = process;
    this.#set({
      phase: 'running',
      process: { pid, startTime },
      ...(ended === undefined ? {} : { end: recordOf(ended) }),
    });
    this.watch(process);
  }

  /** Records its end. */
  watch(process: RecordedProcess): void {
    if (process.ended !== undefined) return;
    process.beforeCollect = (end) => this.ended(end);
  }

  /** Also one that was found by an agent that came after. */
  ended(end: ProcessEnd): void {
    this.#journal.tellUnknown(end);
    this.#set({ end: recordOf(end) });
  }

  get endTold(): boolean {
    return this.progress.endTold === true;
  }

  /** Its end was told to who follows events: an agent that comes after does not tell it again. */
  tellsEnd(): void {
    this.#set({ endTold: true });
  }

  remove(): void {
    if (this.#gone) return;
    this.#removed = true;
    this.#journal.removeFile(this.#name);
  }

  get #gone(): boolean {
    return this.#removed || this.#container?.removed === true;
  }

  #set(change: Partial<ProcessProgress>): void {
    if (!this.#gone) this.#progress.set(change);
  }
}
