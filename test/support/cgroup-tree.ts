/** The cgroups of this process in every hierarchy, and what lies below them. */
import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Directory of this process's own cgroup in each hierarchy, v1 and v2. */
export function ownCgroups(): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [left = '', right = ''] = line.split(' - ');
      const fields = left.split(' ');
      const [type = '', , options = ''] = right.split(' ');
      return { root: fields[3] ?? '/', point: fields[4] ?? '', type, options: options.split(',') };
    });
  return readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .filter(Boolean)
    .flatMap((line) => {
      const [, controllers = '', ...rest] = line.split(':');
      const path = rest.join(':');
      const wanted = controllers.split(',');
      const mount = mounts.find((m) =>
        controllers === ''
          ? m.type === 'cgroup2'
          : m.type === 'cgroup' && wanted.every((name) => m.options.includes(name)),
      );
      if (!mount) return [];
      const root = mount.root === '/' ? '' : mount.root;
      return [join(mount.point, path.startsWith(root) ? path.slice(root.length) : path)];
    });
}

/** Every cgroup below the directories given, deepest first. */
export function cgroupsBelow(directories: readonly string[]): string[] {
  return directories.flatMap((directory) => {
    let names: string[];
    try {
      names = readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(directory, entry.name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    return names.flatMap((path) => [...cgroupsBelow([path]), path]);
  });
}

/** Removes empty cgroups, deepest first; one that still holds processes throws EBUSY. */
export function removeCgroups(directories: readonly string[]): void {
  for (const directory of directories) {
    for (const path of [...cgroupsBelow([directory]), directory]) {
      try {
        rmdirSync(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }
}

/**
 * The same for cgroups whose last processes are on their way out. A killed namespace is still being
 * taken apart when its outermost process has ended, and cgroup v1 tells nobody when it is empty, so
 * this tries again until `settleMs` have passed.
 */
export async function removeDyingCgroups(
  directories: readonly string[],
  settleMs = 5_000,
): Promise<void> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    try {
      return removeCgroups(directories);
    } catch (error) {
      const busy = (error as NodeJS.ErrnoException).code === 'EBUSY';
      if (!busy || performance.now() >= deadline) throw error;
      await delay(10);
    }
  }
}
