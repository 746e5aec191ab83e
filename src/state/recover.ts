import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseJson } from '../json.ts';
import type { Logger } from '../log/logger.ts';
import { hasCode } from '../os/errors.ts';
import {
  type ContainerFacts,
  type ContainerProgress,
  type ProcessProgress,
  type SurroundingsRecord,
  stateVersion,
} from './records.ts';

/** A process record as it was found; its number is that of its streams. */
export interface FoundProcess {
  readonly number: number;
  readonly progress: ProcessProgress;
}

export interface FoundContainer {
  readonly id: string;
  /** Undefined: the file cannot be read, and only the runtime may know of it. */
  readonly facts: ContainerFacts | undefined;
  /** Undefined: the file cannot be read. */
  readonly progress: ContainerProgress | undefined;
  readonly surroundings: SurroundingsRecord;
  readonly execs: readonly FoundProcess[];
  /** Path of the spec it was created with. */
  readonly specFile: string;
}

/** What an agent before this one has written. */
export interface FoundState {
  readonly containers: readonly FoundContainer[];
  /** Processes of the VM. */
  readonly processes: readonly FoundProcess[];
  /** The highest number of streams that is in use. */
  readonly highestNumber: number;
  /** Of disks, layers and shares: see Resources.restore(). */
  readonly storage: readonly object[];
  /** Of network namespaces: see Namespaces.restore(). */
  readonly network: readonly object[];
  /** Of the security policy: see SecurityPolicy.restore(). */
  readonly policy: readonly object[];
}

/** Where nothing is kept. */
export const nothing: FoundState = {
  containers: [],
  processes: [],
  highestNumber: 0,
  storage: [],
  network: [],
  policy: [],
};

/** Reads everything. What cannot be read is said in the log, by its name, and left where it is. */
export function readState(path: string, log: Logger): FoundState {
  const reader = new Reader(path, log);
  const containers = reader.names('c').map((id) => readContainer(reader, id));
  const processes = readProcesses(reader, 'p');
  const numbers = [
    0,
    ...containers.flatMap(({ facts, execs }) => [
      facts?.stdio ?? 0,
      ...execs.map(({ number }) => number),
    ]),
    ...processes.map(({ number }) => number),
  ];
  return {
    containers,
    processes,
    highestNumber: Math.max(...numbers),
    storage: readAll(reader, 'storage'),
    network: readAll(reader, 'network'),
    policy: readAll(reader, 'policy'),
  };
}

function readAll(reader: Reader, directory: string): object[] {
  return reader
    .records(directory)
    .map((name) => reader.read<object>(`${directory}/${name}`))
    .filter((record) => typeof record === 'object');
}

function readContainer(reader: Reader, id: string): FoundContainer {
  const directory = `c/${id}`;
  const progress = reader.read<ContainerProgress>(`${directory}/state.json`);
  const facts = reader.read<ContainerFacts>(`${directory}/container.json`);
  const surroundings = reader.read<SurroundingsRecord>(`${directory}/surroundings.json`);
  return {
    id,
    facts: typeof facts === 'object' ? facts : undefined,
    // Before the first transition there is none.
    progress: progress === 'absent' ? { phase: 'creating' } : progress,
    surroundings: typeof surroundings === 'object' ? surroundings : {},
    execs: readProcesses(reader, `${directory}/p`),
    specFile: join(reader.path, directory, 'spec.json'),
  };
}

function readProcesses(reader: Reader, directory: string): FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const name of reader.records(directory)) {
    const number = Number(/^(\d+)\.json$/.exec(name)?.[1] ?? Number.NaN);
    if (Number.isNaN(number)) continue;
    const progress = reader.read<ProcessProgress>(`${directory}/${name}`);
    if (typeof progress === 'object') found.push({ number, progress });
  }
  return found.sort((a, b) => a.number - b.number);
}

class Reader {
  readonly path: string;
  readonly #log: Logger;

  constructor(path: string, log: Logger) {
    this.path = path;
    this.#log = log;
  }

  names(directory: string): string[] {
    try {
      return readdirSync(join(this.path, directory));
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return [];
      throw error;
    }
  }

  /** Names of records; what a kill has left half written is removed. */
  records(directory: string): string[] {
    const [halves, whole] = [true, false].map((half) =>
      this.names(directory).filter((name) => name.endsWith('.new') === half),
    );
    for (const name of halves ?? []) rmSync(join(this.path, directory, name), { force: true });
    return whole ?? [];
  }

  /** Undefined for a file that cannot be read, which the log names. */
  read<T>(name: string): T | 'absent' | undefined {
    try {
      const record = parseJson(readFileSync(join(this.path, name), 'utf8'));
      if (isOurs(record)) return record as T;
      throw new SyntaxError('it is no record of this version');
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return 'absent';
      const text = error instanceof Error ? error.message : String(error);
      this.#log.error('a record of the agent before cannot be read', { file: name, error: text });
      return undefined;
    }
  }
}

function isOurs(record: unknown): boolean {
  return (
    typeof record === 'object' &&
    record !== null &&
    (record as { version?: unknown }).version === stateVersion
  );
}
