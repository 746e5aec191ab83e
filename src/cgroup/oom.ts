import { readKeyed } from './files.ts';
import type { Cgroup } from './hierarchy.ts';
import { subdirectories } from './shared.ts';

/**
 * How many processes of a cgroup, and of those below it, the kernel has killed for memory.
 * Undefined when it is gone or nothing there counts memory. After a container's end its cgroup
 * stays until the container is deleted, so this tells whether it was memory that ended it.
 */
export async function readOomKills(cgroup: Cgroup): Promise<number | undefined> {
  const memory = cgroup.controllers.get('memory');
  if (memory !== undefined) return await sumBelow(memory);
  if (cgroup.unified === undefined) return undefined;
  // Includes the cgroups below, those that were removed as well (cgroups(7), memory.events).
  const events = await readKeyed(`${cgroup.unified}/memory.events`);
  return events === undefined ? undefined : Number(events.get('oom_kill'));
}

/** v1 counts each cgroup by itself. */
async function sumBelow(directory: string): Promise<number | undefined> {
  const control = await readKeyed(`${directory}/memory.oom_control`);
  if (control === undefined) return undefined;
  let kills = Number(control.get('oom_kill'));
  for (const below of await subdirectories(directory)) kills += (await sumBelow(below)) ?? 0;
  return kills;
}
