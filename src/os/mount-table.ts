import { readFileSync } from 'node:fs';

interface MountEntry {
  id: number;
  parent: number;
  path: string;
}

/** Octal escapes of proc_pid_mountinfo(5): space, tab, newline, backslash. */
function withoutEscapes(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function entries(): MountEntry[] {
  // Latin-1 keeps each byte apart, so that the escapes can be undone before UTF-8 is decoded.
  return readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', parent = '', , , path = ''] = line.split(' ');
      return {
        id: Number(id),
        parent: Number(parent),
        path: Buffer.from(withoutEscapes(path), 'latin1').toString('utf8'),
      };
    });
}

/**
 * Numbers of the mounts at exactly this path, the topmost last. The table is asked and not the
 * path: opening a mount could wait for its server.
 */
export function mountsAt(path: string): number[] {
  const here = entries().filter((entry) => entry.path === path);
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
  return !entries().some(({ id, parent, path }) => path === '/' && id === parent);
}

/** Mount points at or below a directory, the latest mount last. */
export function mountsBelow(directory: string): string[] {
  return entries()
    .map(({ path }) => path)
    .filter((path) => path === directory || path.startsWith(`${directory}/`));
}
