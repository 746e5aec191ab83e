import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { stringifyJson } from '../json.ts';
import { hasCode } from '../os/errors.ts';
import { faultPoint } from '../os/fault-point.ts';
import { processStartTime, processState } from '../os/process.ts';
import { namesIn } from './left.ts';
import { stateVersion } from './records.ts';

/** The directory is another living agent's. */
export class StateInUseError extends Error {
  override readonly name = 'StateInUseError';
}

/**
 * The directory of the journal, 0700, with files of 0600: specs hold secrets. Each file appears
 * whole or not at all. Synchronous: it lies on a tmpfs, where each call takes a few microseconds.
 */
export class StateDirectory {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Makes it where it is missing, and takes it for this process. Throws StateInUseError, or Node's errors. */
  static open(path: string): StateDirectory {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
    const directory = new StateDirectory(path);
    directory.#own();
    return directory;
  }

  /** Writes one record: a new file, fsync(2), rename(2). */
  write(name: string, record: object): void {
    faultPoint(`before ${name}`);
    const path = join(this.path, name);
    const file = openSync(`${path}.new`, 'w', 0o600);
    try {
      try {
        writeFileSync(file, stringifyJson({ version: stateVersion, ...record }));
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(`${path}.new`, path);
    } catch (error) {
      rmSync(`${path}.new`, { force: true });
      throw error;
    }
    faultPoint(`after ${name}`);
  }

  makeDirectory(name: string): void {
    mkdirSync(join(this.path, name), { recursive: true, mode: 0o700 });
  }

  /** The same file under a second name; copied where the file is on another file system. */
  keepFile(source: string, name: string): void {
    const path = join(this.path, name);
    rmSync(path, { force: true });
    try {
      linkSync(source, path);
    } catch (error) {
      if (!hasCode(error, 'EXDEV') && !hasCode(error, 'EPERM')) throw error;
      const file = openSync(path, 'wx', 0o600);
      try {
        writeFileSync(file, readFileSync(source));
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
    }
  }

  removeFile(name: string): void {
    faultPoint(`before removing ${name}`);
    try {
      unlinkSync(join(this.path, name));
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
  }

  removeDirectory(name: string): void {
    faultPoint(`before removing ${name}`);
    rmSync(join(this.path, name), { recursive: true, force: true });
  }

  /** Gives it back, with nothing in it. */
  clear(): void {
    for (const name of namesIn(this.path)) {
      rmSync(join(this.path, name), { recursive: true, force: true });
    }
  }

  #own(): void {
    const file = join(this.path, 'owner');
    const owner = ownerIn(file);
    if (owner !== undefined && owner.pid !== process.pid && lives(owner)) {
      throw new StateInUseError(`${this.path} is in use by the agent with pid ${owner.pid}`);
    }
    this.write('owner', { pid: process.pid, startTime: processStartTime(process.pid) });
  }
}

interface Owner {
  pid: number;
  startTime: number;
}

/** Undefined for what is no such file: nobody can be told from it. */
function ownerIn(file: string): Owner | undefined {
  try {
    const { pid, startTime } = JSON.parse(readFileSync(file, 'utf8')) as Partial<Owner>;
    return typeof pid === 'number' && typeof startTime === 'number'
      ? { pid, startTime }
      : undefined;
  } catch (error) {
    if (hasCode(error, 'ENOENT') || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** A zombie holds nothing any more. */
function lives({ pid, startTime }: Owner): boolean {
  return processStartTime(pid) === startTime && processState(pid) !== 'Z';
}
