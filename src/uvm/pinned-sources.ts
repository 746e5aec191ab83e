import {
  closeSync,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmdirSync,
  unlinkSync,
} from 'node:fs';
import { dirname } from 'node:path/posix';
import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { attachMount, cloneMount, FsContext, setPropagation, unmountPath } from '../os/mount.ts';
import { O_PATH, openAt2 } from '../os/openat2.ts';
import { keepMade, type MadeDirectory, openConfined, removeMade } from '../spec/confined.ts';
import type { PlannedSource } from '../spec/pod-mounts.ts';

/**
 * Directories of a pod, found once and mounted where only the agent can reach, for as long as the
 * runtime creates a container that mounts them. Disposed, the pins go; what was made for the
 * container goes too, unless it was kept before.
 */
export class PinnedSources implements AsyncDisposable {
  readonly #log: Logger;
  readonly #made: MadeDirectory[] = [];
  readonly #pins: { path: string; directory: boolean }[] = [];
  /** File systems of huge pages that were mounted for this container. */
  readonly #mounted: string[] = [];
  #directory: string | undefined;

  private constructor(log: Logger) {
    this.#log = log;
  }

  /** AgentError 'invalid-argument' names the mount whose source is not what it should be; nothing is left behind then. */
  static async pin(sources: readonly PlannedSource[], log: Logger): Promise<PinnedSources> {
    const pinned = new PinnedSources(log);
    try {
      for (const source of sources) await pinned.#pin(source);
      return pinned;
    } catch (error) {
      await pinned[Symbol.asyncDispose]();
      throw AgentError.from(error, { operation: 'create' });
    }
  }

  /** The container exists: what was made for it stays with the pod. */
  keep(): void {
    keepMade(this.#made);
    this.#mounted.length = 0;
  }

  async #pin(source: PlannedSource): Promise<void> {
    using found = await this.#find(source);
    const directory = fstatSync(found.raw).isDirectory();
    this.#makePlace(source.pinned, directory);
    using place = openAt2(null, source.pinned, { flags: O_PATH, resolve: ['no-symlinks'] });
    using mount = cloneMount(found, { recursive: true });
    attachMount(mount, place);
  }

  async #find(source: PlannedSource): Promise<Fd> {
    const { root, path, field, pageSize } = source;
    const before = this.#made.length;
    const options = { mode: 0o777, field, made: this.#made };
    const found = openConfined(root, path, options);
    if (pageSize === undefined || this.#made.length === before) return found;
    using directory = found;
    await mountHugePages(directory, pageSize);
    this.#mounted.push(`${root}/${path}`);
    // The descriptor is of the directory that the mount now hides.
    return openConfined(root, path, options);
  }

  #makePlace(path: string, directory: boolean): void {
    if (this.#directory === undefined) {
      mkdirSync(dirname(path), 0o700);
      this.#directory = dirname(path);
    }
    if (directory) mkdirSync(path, 0o700);
    else closeSync(openSync(path, 'wx', 0o600));
    this.#pins.push({ path, directory });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { path, directory } of this.#pins.splice(0).reverse()) {
      await this.#quietly('pin of a mount stays', path, async () => {
        await unmountUnlessGone(path);
        if (directory) rmdirSync(path);
        else unlinkSync(path);
      });
    }
    const directory = this.#directory;
    this.#directory = undefined;
    if (directory !== undefined) {
      await this.#quietly('directory of pins stays', directory, async () => rmdirSync(directory));
    }
    for (const path of this.#mounted.splice(0).reverse()) {
      await this.#quietly('huge pages stay mounted', path, () => unmountPath(path));
    }
    removeMade(this.#made);
  }

  async #quietly(message: string, path: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#log.error(message, { path, error: String(error) });
    }
  }
}

/** Removes the pins of an agent that is no more; those that are not there are no error. */
export async function removePins(pins: readonly string[], log: Logger): Promise<void> {
  for (const path of [...pins].reverse()) {
    if (!existsSync(path)) continue;
    try {
      await unmountUnlessGone(path);
      if (lstatSync(path).isDirectory()) rmdirSync(path);
      else unlinkSync(path);
    } catch (error) {
      log.error('pin of a mount stays', { path, error: String(error) });
    }
  }
  const [first] = pins;
  if (first !== undefined && existsSync(dirname(first))) rmdirSync(dirname(first));
}

/** EINVAL: nothing was mounted there yet. */
async function unmountUnlessGone(path: string): Promise<void> {
  try {
    await unmountPath(path);
  } catch (error) {
    if (!hasCode(error, 'EINVAL')) throw error;
  }
}

async function mountHugePages(directory: Fd, pageSize: string): Promise<void> {
  using context = new FsContext('hugetlbfs');
  context.setString('pagesize', pageSize);
  // As the directories beside it: for every user of the pod.
  context.setString('mode', '0777');
  await context.create();
  using mount = context.mount({ readOnly: false });
  attachMount(mount, directory);
  setPropagation(mount, 'shared', false);
}
