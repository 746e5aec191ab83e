import { readdirSync } from 'node:fs';
import { isAbsence, KeyedCounts, readFileIfPresent } from './files.ts';
import type { Cgroup } from './hierarchy.ts';

/**
 * How many processes of a cgroup, and of those below it, the kernel has killed for memory.
 * Undefined when it is gone or nothing there counts memory. After a container's end its cgroup
 * stays until the container is deleted, so this tells whether it was memory that ended it.
 *
 * Synchronous: these files are a few counters that the kernel writes out without waiting for
 * anything, and the exit of a container is told in the same turn.
 */
export function readOomKills(cgroup: Cgroup): number | undefined {
  const memory = cgroup.controllers.get('memory');
  if (memory !== undefined) return sumBelow(memory);
  if (cgroup.unified === undefined) return undefined;
  // Includes the cgroups below, those that were removed as well (cgroups(7), memory.events).
  return killsIn(`${cgroup.unified}/memory.events`);
}

function killsIn(file: string): number | undefined {
  const text = readFileIfPresent(file);
  return text === undefined ? undefined : Number(new KeyedCounts(text).get('oom_kill'));
}

/** v1 counts each cgroup by itself. */
function sumBelow(directory: string): number | undefined {
  let kills = killsIn(`${directory}/memory.oom_control`);
  if (kills === undefined) return undefined;
  for (const name of directoriesIn(directory)) kills += sumBelow(`${directory}/${name}`) ?? 0;
  return kills;
}

function directoriesIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
}
