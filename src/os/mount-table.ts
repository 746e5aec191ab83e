import { readMountInfo } from './mountinfo.ts';

/**
 * Numbers of the mounts at exactly this path, the topmost last. The table is asked and not the
 * path: opening a mount could wait for its server.
 */
export function mountsAt(path: string): number[] {
  const here = readMountInfo().filter((entry) => entry.path === path);
  const ids = new Set(here.map(({ id }) => id));
  const stack: number[] = [];
  // Each mount's parent is the one below it.
  let next = here.find(({ parent }) => !ids.has(parent));
  while (next !== undefined) {
    const { id } = next;
    stack.push(id);
    next = here.find(({ parent }) => parent === id);
  }
  return stack;
}

/**
 * Whether something is mounted below our root, so that pivot_root(2) can take its place: there is
 * nothing below that of an initial RAM file system.
 */
export function hasParentOfRoot(): boolean {
  return !readMountInfo().some(({ id, parent, path }) => path === '/' && id === parent);
}

/** Mount points at or below a directory, the latest mount last. */
export function mountsBelow(directory: string): string[] {
  return readMountInfo()
    .map(({ path }) => path)
    .filter((path) => path === directory || path.startsWith(`${directory}/`));
}
