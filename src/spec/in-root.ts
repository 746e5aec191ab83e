import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, readlink } from 'node:fs/promises';
import { hasCode } from '../os/errors.ts';

/** Linux's value, which node:fs does not name: a descriptor that stands for a path and opens nothing (open(2)). */
const O_PATH = 0x20_0000;
/** path_resolution(7): more links than this are a loop. */
const mostLinks = 40;

/**
 * Text of a regular file inside a root directory that somebody else fills, also while they change
 * it: every step is taken from a descriptor of the directory before, links are followed by hand
 * with `root` as their "/", and "..", wherever it comes from, never leaves it. Nothing but a
 * regular file is ever opened, so neither a fifo nor a device can hold the caller up.
 *
 * Undefined when there is no such file. Throws for what is no regular file, for a loop of links
 * and for more than `maxBytes` bytes.
 */
export async function readFileInRoot(
  root: string,
  path: string,
  maxBytes: number,
): Promise<string | undefined> {
  const walk = new Walk();
  try {
    if (!(await walk.to(root, path))) return undefined;
    return await readChecked(walk, path, maxBytes);
  } finally {
    await walk.close();
  }
}

/** A path being resolved: the descriptors of the directories from the root down, then of the file. */
class Walk {
  readonly #handles: FileHandle[] = [];

  get #top(): FileHandle {
    const top = this.#handles.at(-1);
    if (top === undefined) throw new Error('the walk has not begun');
    return top;
  }

  /** Where the last step led, as a path that is this very file whatever happens to its name. */
  get here(): string {
    return `/proc/self/fd/${this.#top.fd}`;
  }

  stat(): Promise<Stats> {
    return this.#top.stat();
  }

  /** False when something on the way does not exist. */
  async to(root: string, path: string): Promise<boolean> {
    try {
      this.#handles.push(await open(root, O_PATH | constants.O_DIRECTORY));
      await this.#follow(path);
      return true;
    } catch (error) {
      if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return false;
      throw error;
    }
  }

  async #follow(path: string): Promise<void> {
    const rest = componentsOf(path);
    for (let links = 0; rest.length > 0; ) {
      const name = rest.shift() as string;
      if (name === '..') {
        await this.#up();
        continue;
      }
      const parent = this.here;
      const next = await open(`${parent}/${name}`, O_PATH | constants.O_NOFOLLOW);
      this.#handles.push(next);
      if (!(await next.stat()).isSymbolicLink()) continue;

      links += 1;
      if (links > mostLinks) throw new Error(`${path}: too many symbolic links`);
      await this.#up();
      const target = await readlink(`${parent}/${name}`);
      if (target.startsWith('/')) await this.#toRoot();
      rest.unshift(...componentsOf(target));
    }
  }

  async #up(): Promise<void> {
    if (this.#handles.length > 1) await this.#handles.pop()?.close();
  }

  async #toRoot(): Promise<void> {
    while (this.#handles.length > 1) await this.#up();
  }

  async close(): Promise<void> {
    for (const handle of this.#handles.splice(0)) await handle.close();
  }
}

function componentsOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

async function readChecked(walk: Walk, path: string, maxBytes: number): Promise<string> {
  if (!(await walk.stat()).isFile()) throw new Error(`${path}: not a regular file`);
  await using file = await open(walk.here, constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.allocUnsafe(maxBytes + 1);
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, null);
    if (bytesRead === 0) return buffer.toString('utf8', 0, length);
    length += bytesRead;
  }
  throw new Error(`${path}: larger than ${maxBytes} bytes`);
}
