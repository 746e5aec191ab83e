import { mkdirSync, readdirSync, rmdirSync, rmSync, unlinkSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { fdPath, O_DIRECTORY_PATH, openAt2 } from '../os/openat2.ts';
import { badValue } from './host-path.ts';
import { explainNoSpace } from './space.ts';

/** Never through a link: not even one that leads to where it seems to. */
const resolve = ['no-symlinks', 'no-magic-links'] as const;

function openDirectory(path: string): Fd {
  return openAt2(null, path, { flags: O_DIRECTORY_PATH, resolve });
}

/** What a failed open of a path from the host means to the host. */
function pathError(error: unknown, path: string, field: string): unknown {
  if (hasCode(error, 'ELOOP')) return badValue(field, path, 'leads through a symbolic link');
  if (hasCode(error, 'ENOTDIR')) return badValue(field, path, 'is not a directory');
  if (hasCode(error, 'ENOENT')) return badValue(field, path, 'does not exist');
  return error;
}

/** An existing directory the host named, as a descriptor that only stands for it. Throws AgentError 'invalid-argument'. */
export function openHostDirectory(path: string, field: string): Fd {
  try {
    return openDirectory(path);
  } catch (error) {
    throw pathError(error, path, field);
  }
}

/** Calls `use` with a name of `path` in which every directory is already resolved, without a link. */
export function inParent<T>(path: string, use: (name: string) => T): T {
  using parent = openDirectory(dirname(path));
  return use(`${fdPath(parent)}/${basename(path)}`);
}

/** The same for what takes time: the directories stay open until it is done. */
export async function inParentAsync<T>(
  path: string,
  use: (name: string) => Promise<T>,
): Promise<T> {
  using parent = openDirectory(dirname(path));
  return await use(`${fdPath(parent)}/${basename(path)}`);
}

/** Removes a link or file, also when it has gone already. */
export function removeLink(path: string): void {
  try {
    inParent(path, unlinkSync);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

/** Removes a directory with all that is in it, also when it has gone already. */
export function removeTree(path: string): void {
  try {
    inParent(path, (name) => rmSync(name, { recursive: true, force: true }));
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

/** Beyond this many the directories that are gone are forgotten. */
const PRUNE_AT = 1024;

/**
 * The directories this agent has made for the host, so that each is removed when the last that
 * needed it has gone. Making and removing are synchronous: no other request sees half of it.
 */
export class Directories {
  readonly #made = new Set<string>();
  #pruneAt = PRUNE_AT;

  /** Opens a directory; it and those above it are made where missing. All in normal form (hostPath). */
  make(path: string, field: string, mode: number): Fd {
    try {
      return this.#make(path, mode);
    } catch (error) {
      // The figures of a full file system are those of this moment.
      const explained = explainNoSpace(pathError(error, path, field), path);
      this.remove(path);
      throw explained;
    }
  }

  #make(path: string, mode: number): Fd {
    try {
      return openDirectory(path);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
    using parent = this.#make(dirname(path), mode);
    const name = basename(path);
    mkdirSync(`${fdPath(parent)}/${name}`, { mode });
    this.#made.add(path);
    if (this.#made.size > this.#pruneAt) this.#prune();
    return openAt2(parent, name, { flags: O_DIRECTORY_PATH, resolve });
  }

  /**
   * Removes a directory if it was made here and is empty, and then those above it likewise. One
   * that holds anything stays, and belongs from then on to who filled it.
   */
  remove(path: string): void {
    for (let each = path; each !== '/'; each = dirname(each)) {
      if (!this.#made.has(each)) {
        if (this.exists(each)) return;
        continue;
      }
      try {
        inParent(each, rmdirSync);
      } catch (error) {
        if (hasCode(error, 'ENOTEMPTY')) {
          if (each === path) this.#made.delete(each);
          return;
        }
        // The directory of a disk that this one lay on.
        if (hasCode(error, 'EBUSY') && each !== path) return;
        if (!hasCode(error, 'ENOENT')) throw error;
      }
      this.#made.delete(each);
    }
  }

  /** The directories that {@link make} would have to make. */
  missing(path: string): string[] {
    const missing: string[] = [];
    for (let each = path; each !== '/' && !this.exists(each); each = dirname(each)) {
      missing.push(each);
    }
    return missing;
  }

  /** Directories that an agent before this one found missing: those that are there now are ours. */
  adopt(paths: readonly string[]): void {
    for (const path of paths) if (this.exists(path)) this.#made.add(path);
  }

  /** What lies on a file system that is no longer mounted at `path` is not ours to remove. */
  forgetBelow(path: string): void {
    for (const each of this.#made) if (each.startsWith(`${path}/`)) this.#made.delete(each);
  }

  /** Others remove what we made, too: a bundle with all that is in it. */
  #prune(): void {
    for (const each of this.#made) if (!this.exists(each)) this.#made.delete(each);
    this.#pruneAt = Math.max(PRUNE_AT, 2 * this.#made.size);
  }

  /** True when something is at `path`. */
  exists(path: string): boolean {
    try {
      openDirectory(path).close();
      return true;
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false;
      // Whatever else it is, it is there and not ours.
      return true;
    }
  }
}

/** True for a directory without entries. */
export function isEmptyDirectory(directory: Fd): boolean {
  return readdirSync(fdPath(directory)).length === 0;
}
