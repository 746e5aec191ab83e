import { readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CgroupMount, parseCgroupMounts, resolveCgroup } from '../../cgroup/hierarchy.ts';
import { hasCode } from '../../os/errors.ts';

/** The hierarchy to read processes from, best first: the freezer's can also stop forks. */
const preferredControllers = ['freezer', 'pids', 'devices', 'memory', 'cpu'];

let mounts: readonly CgroupMount[] | undefined;

/** Kept: hierarchies are mounted when the machine starts, and the file grows with each container. */
function cgroupMounts(): readonly CgroupMount[] {
  if (mounts !== undefined && mounts.length > 0) return mounts;
  mounts = parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
  return mounts;
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    // ENODEV: the cgroup was removed while the file was open; ESRCH: the process went.
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENODEV') || hasCode(error, 'ESRCH')) {
      return undefined;
    }
    throw error;
  }
}

/** Directory by hierarchy, '' for the unified one. */
function directoriesOf(pid: number | 'self'): Map<string, string> {
  const membership = readIfPresent(`/proc/${pid}/cgroup`);
  if (membership === undefined) return new Map();
  const { controllers, unified } = resolveCgroup(membership, cgroupMounts());
  const directories = new Map(controllers);
  if (unified !== undefined) directories.set('', unified);
  return directories;
}

/** Pids in a cgroup and all below it; none when it is gone. See cgroups(7). */
function collectPids(directory: string, pids: number[]): void {
  const text = readIfPresent(join(directory, 'cgroup.procs'));
  if (text === undefined) return;
  for (const line of text.split('\n')) {
    const pid = Number(line);
    if (pid > 0) pids.push(pid); // 0 stands for a process outside our pid namespace.
  }
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) collectPids(join(directory, entry.name), pids);
  }
}

/** The cgroup a container's processes are in, read and killed through without its runtime. */
export class ContainerCgroup {
  readonly #directory: string;
  readonly #canFreeze: boolean;
  /** The container's directory in every hierarchy. */
  readonly directories: readonly string[];

  private constructor(hierarchy: string, directory: string, all: readonly string[]) {
    this.#directory = directory;
    this.#canFreeze = hierarchy === 'freezer';
    this.directories = all;
  }

  /**
   * The cgroup that live process `pid` is in. Undefined when it has none apart from the agent's:
   * to kill all in that would be to kill the agent.
   */
  static of(pid: number): ContainerCgroup | undefined {
    const own = directoriesOf('self');
    const theirs = [...directoriesOf(pid)].filter(
      ([hierarchy, directory]) =>
        !`${own.get(hierarchy) ?? ''}/`.startsWith(`${directory}/`) &&
        !cgroupMounts().some((mount) => mount.mountPoint === directory),
    );
    const all = theirs.map(([, directory]) => directory);
    for (const hierarchy of [...preferredControllers, '']) {
      const found = theirs.find(([name]) => name === hierarchy);
      if (found !== undefined) return new ContainerCgroup(hierarchy, found[1], all);
    }
    return undefined;
  }

  /** Every process in it, in no order. Zombies are not listed by the kernel. */
  pids(): number[] {
    const pids: number[] = [];
    collectPids(this.#directory, pids);
    return pids;
  }

  /** SIGKILL to every process in it at the moment, also when the cgroup is frozen. */
  killAll(): void {
    if (this.#write('cgroup.kill', '1')) return; // v2 since Linux 5.14: the kernel does it whole.
    // Frozen processes cannot fork away from the list, nor end and leave their pid to another.
    if (this.#canFreeze) this.#write('freezer.state', 'FROZEN');
    try {
      for (const pid of this.pids()) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch (error) {
          if (!hasCode(error, 'ESRCH')) throw error;
        }
      }
    } finally {
      // Signals reach processes of a frozen v1 cgroup only once it is thawed.
      if (this.#canFreeze) this.#write('freezer.state', 'THAWED');
    }
  }

  /** Removes its empty directories; those that hold something stay. */
  removeEmpty(): void {
    for (const directory of this.directories) {
      try {
        rmdirSync(directory);
      } catch (error) {
        if (!['ENOENT', 'EBUSY', 'ENOTEMPTY'].some((code) => hasCode(error, code))) throw error;
      }
    }
  }

  /** False when there is no such file. */
  #write(file: string, text: string): boolean {
    try {
      writeFileSync(join(this.#directory, file), text, { flag: 'r+' });
      return true;
    } catch (error) {
      if (hasCode(error, 'ENOENT') || hasCode(error, 'ENODEV') || hasCode(error, 'EOPNOTSUPP')) {
        return false;
      }
      throw error;
    }
  }
}
