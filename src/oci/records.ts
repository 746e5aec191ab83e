import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode } from '../os/errors.ts';
import { OciError } from './failure.ts';

/** What this side has to remember of a container; all else the agent knows. */
export interface ContainerRecord {
  readonly id: string;
  /** PATH of the agent that has it. */
  readonly agent: string;
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339. */
  readonly created: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** The process that stands for init on this side. */
  readonly standIn: { readonly pid: number; readonly startTime: number };
}

/** sun_path of unix(7) without the final NUL and what a name of a report's socket may need more. */
const SOCKET_PATH_MAX = 100;

/**
 * Directory of one container below the root: `record.json`, the socket on which its stand-in takes
 * commands, and the sockets on which stand-ins report while they begin.
 */
export class ContainerDirectory {
  readonly path: string;
  readonly id: string;

  constructor(root: string, id: string) {
    // What a runtime takes as an id, and nothing that leads out of the directory.
    if (id === '') throw new OciError('container id cannot be empty');
    if (!/^[\w+.-]+$/.test(id) || id === '.' || id === '..')
      throw new OciError('invalid container ID format');
    this.id = id;
    this.path = join(root, id);
  }

  /** Throws when a container of this id is remembered. */
  make(): void {
    if (Buffer.byteLength(this.controlSocket) > SOCKET_PATH_MAX) {
      throw new OciError(`file name too long: ${this.controlSocket}`);
    }
    mkdirSync(join(this.path, '..'), { recursive: true, mode: 0o700 });
    try {
      mkdirSync(this.path, { mode: 0o700 });
    } catch (error) {
      if (hasCode(error, 'EEXIST')) throw new OciError('container with given ID already exists');
      throw error;
    }
  }

  get controlSocket(): string {
    return join(this.path, 'control');
  }

  get exists(): boolean {
    return this.read() !== undefined;
  }

  write(record: ContainerRecord): void {
    const path = join(this.path, 'record.json');
    writeFileSync(`${path}.new`, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  read(): ContainerRecord | undefined {
    try {
      return JSON.parse(readFileSync(join(this.path, 'record.json'), 'utf8'));
    } catch (error) {
      if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
      throw error;
    }
  }

  /** The record; the error that runtimes have for an id nobody knows. */
  require(): ContainerRecord {
    const record = this.read();
    if (record === undefined) throw new OciError('container does not exist');
    return record;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Every remembered container, by id. */
export function allRecords(root: string): ContainerRecord[] {
  let names: string[];
  try {
    names = readdirSync(root);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
  return names
    .sort()
    .map((name) => new ContainerDirectory(root, name).read())
    .filter((record) => record !== undefined);
}
