import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { hasCode } from '../../os/errors.ts';
import { faultPoint } from '../../os/fault-point.ts';
import type { ContainerId } from '../runtime.ts';

/** Keeps a process directory's first name within NAME_MAX, whatever the id's length. */
const prefixLimit = 200;

/**
 * Removes a directory with all that is in it. `usual` is what it mostly holds: removed by name,
 * which takes a tenth of a walk through the directory.
 */
function removeTree(directory: string, usual: readonly string[]): void {
  try {
    for (const path of usual) {
      if (existsSync(path)) unlinkSync(path);
    }
    rmdirSync(directory);
  } catch {
    // Something else is in it, or it is gone: the walk tells, and says what cannot be removed.
    rmSync(directory, { recursive: true, force: true });
  }
}

/**
 * Directory of one process: its pid file, its process.json when it is an exec, its console socket
 * while it is made. Named after the container until its pid is known, then after the pid.
 */
export class ProcessDirectory {
  #path: string;
  readonly #container: string;

  constructor(path: string, container: string) {
    this.#path = path;
    this.#container = container;
  }

  get path(): string {
    return this.#path;
  }

  readonly pidFileName = 'pid';

  get pidFile(): string {
    return join(this.#path, this.pidFileName);
  }

  get processFile(): string {
    return join(this.#path, 'process.json');
  }

  /** What the runtime wrote to the pid file. */
  readPid(): number {
    const text = readFileSync(this.pidFile, 'utf8').trim();
    const pid = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(pid) || pid === 0) {
      throw new Error(`${this.pidFile} holds no pid: ${JSON.stringify(text.slice(0, 40))}`);
    }
    return pid;
  }

  /** Moves it to its final place. */
  settle(pid: number): void {
    const target = join(this.#container, String(pid));
    try {
      renameSync(this.#path, target);
    } catch (error) {
      // Left by a process that had this pid before: an agent that was killed removed nothing.
      if (!hasCode(error, 'ENOTEMPTY') && !hasCode(error, 'EEXIST')) throw error;
      rmSync(target, { recursive: true, force: true });
      renameSync(this.#path, target);
    }
    this.#path = target;
    faultPoint('process directory settled');
  }

  /** When the pid file was written, in milliseconds since the epoch; undefined when there is none. */
  get writtenAt(): number | undefined {
    return statSync(this.pidFile, { throwIfNoEntry: false })?.mtimeMs;
  }

  remove(): void {
    removeTree(this.#path, [this.pidFile, this.processFile]);
  }
}

/**
 * What the agent keeps on disk about containers: `<root>/<id>/initpid` and one directory a
 * process, so that an agent that starts anew can find what runs. All calls are synchronous: the
 * root is on a tmpfs, where a hop through the thread pool costs more than the call.
 */
export class Bookkeeping {
  readonly root: string;

  /** Makes the root, with mode 0700 also when it was there. */
  constructor(root: string) {
    this.root = root;
    mkdirSync(root, { recursive: true, mode: 0o700 });
    chmodSync(root, 0o700);
  }

  containerDirectory(id: ContainerId): string {
    return join(this.root, id);
  }

  /** False when the directory was there: an agent before this one left it, or still owns it. */
  addContainer(id: ContainerId): boolean {
    try {
      mkdirSync(this.containerDirectory(id), { mode: 0o700 });
      return true;
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return false;
      throw error;
    }
  }

  removeContainer(id: ContainerId): void {
    const directory = this.containerDirectory(id);
    faultPoint('before the bookkeeping is removed');
    removeTree(directory, [join(directory, 'initpid')]);
  }

  writeInitPid(id: ContainerId, pid: number): void {
    writeFileSync(join(this.containerDirectory(id), 'initpid'), String(pid));
  }

  /** A directory for a process that is about to be made. */
  addProcess(id: ContainerId): ProcessDirectory {
    // Beside the containers' directories, for a console socket's path is to fit into sun_path
    // (107 bytes) with an id of 64; '~' is in no id, so no container has such a name.
    const path = mkdtempSync(join(this.root, `${id.slice(0, prefixLimit)}~`));
    return new ProcessDirectory(path, this.containerDirectory(id));
  }

  /** Directories of processes that were being made when an agent was killed. */
  unsettled(): ProcessDirectory[] {
    return namesIn(this.root)
      .filter((name) => name.includes('~'))
      .map((name) => new ProcessDirectory(join(this.root, name), this.root));
  }

  processAt(id: ContainerId, pid: number): ProcessDirectory {
    const container = this.containerDirectory(id);
    return new ProcessDirectory(join(container, String(pid)), container);
  }

  /** Directories of the processes of a container, by pid. */
  processes(id: ContainerId): Map<number, ProcessDirectory> {
    const pids = namesIn(this.containerDirectory(id)).filter((name) => /^\d+$/.test(name));
    return new Map(pids.map((name) => [Number(name), this.processAt(id, Number(name))]));
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  }
}
