import { chmodSync, existsSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path/posix';
import type { Logger } from '../log/logger.ts';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import {
  attachMount,
  cloneMount,
  FsContext,
  type Propagation,
  setPropagation,
  unmountPath,
} from '../os/mount.ts';
import { mountsBelow } from '../os/mount-table.ts';
import { O_DIRECTORY_PATH, openAt2 } from '../os/openat2.ts';
import type { PlannedFile } from '../spec/plan.ts';
import { podDirectories, virtualPods } from '../spec/pod-mounts.ts';

/** What a container mounts below these is seen by its peers. */
const propagation: Propagation = 'shared';

export interface PodAdditions {
  readonly directories: readonly string[];
  readonly files: readonly string[];
}

/**
 * The directory that the containers of a pod share: sandboxMounts, sandboxTmpfsMounts (a tmpfs) and
 * hugepages, mounted shared; logs; and the pod's network files. Made whole or not at all.
 */
export class PodDirectory {
  readonly path: string;
  readonly #log: Logger;
  /** Directories made here, the deepest last. */
  readonly #made: string[] = [];
  readonly #files: string[] = [];

  private constructor(path: string, log: Logger) {
    this.path = path;
    this.#log = log;
  }

  /** Throws what the system says, with nothing left behind. */
  static async make(
    path: string,
    files: readonly PlannedFile[],
    log: Logger,
  ): Promise<PodDirectory> {
    const pod = new PodDirectory(path, log);
    try {
      pod.#makeAbove(path);
      await pod.#makeShared(podDirectories.mounts, async (directory) => cloneMount(directory));
      await pod.#makeShared(podDirectories.tmpfs, makeTmpfs);
      await pod.#makeShared(podDirectories.hugePages, async (directory) => cloneMount(directory));
      pod.#makeLogs();
      for (const file of files) pod.#write(file);
      return pod;
    } catch (error) {
      await pod.remove();
      throw error;
    }
  }

  /** What {@link make} is about to add: directories that are not there, the deepest last, and files. */
  static additions(path: string, files: readonly PlannedFile[]): PodAdditions {
    const directories = Object.values(podDirectories).map((name) => join(path, name));
    for (let above = path; !existsSync(above); above = dirname(above)) directories.unshift(above);
    return {
      directories: directories.filter((directory) => !existsSync(directory)),
      files: files.map((file) => file.path),
    };
  }

  /** One that an agent before this one made, or was making. */
  static restore(path: string, added: PodAdditions, log: Logger): PodDirectory {
    const pod = new PodDirectory(path, log);
    pod.#made.push(...added.directories);
    pod.#files.push(...added.files);
    return pod;
  }

  /**
   * Unmounts all that is mounted in its directories, by whomever, and removes what was made. What
   * is still in use stays and the log says so; never throws.
   */
  async remove(): Promise<void> {
    for (const name of Object.values(podDirectories)) await this.#unmountBelow(name);
    const logs = join(this.path, podDirectories.logs);
    const mounted = mountsBelow(this.path).length > 0;
    if (!mounted && this.#made.includes(logs)) rmSync(logs, { recursive: true, force: true });
    for (const file of this.#files) rmSync(file, { force: true });
    for (const directory of this.#made.reverse()) this.#removeDirectory(directory);
    // Whichever pod made it, the last one takes it away.
    const above = dirname(this.path);
    if (basename(above) === virtualPods) this.#removeDirectory(above);
  }

  async #unmountBelow(name: string): Promise<void> {
    for (const point of mountsBelow(join(this.path, name)).reverse()) {
      try {
        await unmountPath(point);
      } catch (error) {
        // Mounted on each other they go with one another.
        if (hasCode(error, 'EINVAL') || hasCode(error, 'ENOENT')) continue;
        this.#log.error('mount of a pod stays', { point, error: String(error) });
      }
    }
  }

  #removeDirectory(directory: string): void {
    try {
      const shared = Object.values(podDirectories).some((name) => directory.endsWith(`/${name}`));
      // What the containers of the pod left there was for them alone.
      if (shared && mountsBelow(directory).length === 0) {
        rmSync(directory, { recursive: true, force: true });
      } else rmdirSync(directory);
    } catch (error) {
      const left = ['ENOENT', 'ENOTEMPTY', 'EBUSY'];
      if (left.some((code) => hasCode(error, code))) return;
      this.#log.error('directory of a pod stays', { directory, error: String(error) });
    }
  }

  #makeAbove(directory: string): void {
    try {
      this.#make(directory, 0o755);
    } catch (error) {
      if (!hasCode(error, 'ENOENT') || directory === dirname(directory)) throw error;
      this.#makeAbove(dirname(directory));
      this.#make(directory, 0o755);
    }
  }

  #make(directory: string, mode: number): void {
    try {
      mkdirSync(directory, mode);
      this.#made.push(directory);
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
  }

  async #makeShared(name: string, makeMount: (directory: Fd) => Promise<Fd>): Promise<void> {
    const path = join(this.path, name);
    this.#make(path, 0o755);
    using directory = openAt2(null, path, { flags: O_DIRECTORY_PATH, resolve: ['no-symlinks'] });
    using mount = await makeMount(directory);
    attachMount(mount, directory);
    setPropagation(mount, propagation, true);
  }

  #makeLogs(): void {
    const path = join(this.path, podDirectories.logs);
    this.#make(path, 0o777);
    // The umask took bits off; containers of any user write there.
    if (this.#made.includes(path)) chmodSync(path, 0o777);
  }

  #write({ path, content }: PlannedFile): void {
    // One that an agent before this one left is replaced, and a link never written through.
    rmSync(path, { force: true });
    writeFileSync(path, content, { flag: 'wx', mode: 0o644 });
    this.#files.push(path);
    chmodSync(path, 0o644);
  }
}

async function makeTmpfs(): Promise<Fd> {
  using context = new FsContext('tmpfs');
  await context.create();
  return context.mount({ readOnly: false });
}
