import { closeSync, constants, mkdirSync, openSync, readlinkSync } from 'node:fs';
import { hasCode } from '../../os/errors.ts';

/** As the kernel's own, see path_resolution(7). */
const maxLinks = 40;

const openFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** An open directory's entry by path: what lies before the name cannot be exchanged meanwhile. */
function entryOf(directory: number, name: string): string {
  return `/proc/self/fd/${directory}/${name}`;
}

function openEntry(directory: number, name: string): number {
  const entry = entryOf(directory, name);
  try {
    return openSync(entry, openFlags);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  mkdirSync(entry, { mode: 0o755 });
  return openSync(entry, openFlags);
}

/** Target when the entry is a symbolic link. */
function linkTarget(directory: number, name: string): string | undefined {
  try {
    return readlinkSync(entryOf(directory, name));
  } catch (error) {
    if (hasCode(error, 'EINVAL') || hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

/**
 * Makes `path` and the directories above it inside `root`, as the container will see it: symbolic
 * links lead from the container's root and `..` ends there, so nothing outside is touched even
 * when the tree changes meanwhile. Throws what the system says (ENOTDIR, EROFS …), ELOOP as text.
 */
export function makeDirectoryInRoot(root: string, path: string): void {
  // The directories from the root down to the one reached, so that ".." can go back up.
  const trail = [openSync(root, constants.O_RDONLY | constants.O_DIRECTORY)];
  const climbTo = (depth: number): void => {
    for (const fd of trail.splice(depth)) closeSync(fd);
  };
  const pending = partsOf(path);
  let links = 0;
  try {
    for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
      if (name === '..') {
        climbTo(Math.max(1, trail.length - 1));
        continue;
      }
      const here = trail.at(-1) as number;
      const target = linkTarget(here, name);
      if (target === undefined) {
        trail.push(openEntry(here, name));
        continue;
      }
      links += 1;
      if (links > maxLinks) throw new Error(`${path}: too many symbolic links`);
      if (target.startsWith('/')) climbTo(1);
      pending.unshift(...partsOf(target));
    }
  } finally {
    climbTo(0);
  }
}
