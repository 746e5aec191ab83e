import { constants } from 'node:os';
import type { Cgroup } from '../../cgroup/hierarchy.ts';
import { listProcesses } from '../../cgroup/processes.ts';
import { hasCode } from '../../os/errors.ts';
import { Pidfd } from '../../os/pidfd.ts';
import { processGroup } from '../../os/process.ts';
import type { RuntimeProcess } from '../../runtime/runtime.ts';

const { SIGKILL } = constants.signals;

/**
 * Kills the process group of an exec'd process, which is its leader (OCI runtimes make it the leader
 * of a session). The kernel signals a group as a whole: no fork escapes.
 *
 * When the leader has been collected its group goes on under a number that nobody else gets as long
 * as a member lives, but may be free since; then the members are looked for in the container's cgroup.
 */
export async function killProcessGroup(
  leader: RuntimeProcess,
  cgroup: Cgroup | undefined,
): Promise<void> {
  if (leader.status === undefined) {
    killGroup(leader.pid);
    return;
  }
  if (cgroup === undefined) return;
  // Again after each round: a fork may have been under way.
  while ((await killMembers(leader.pid, cgroup)) > 0);
}

/** Not collected: its pid, and so the group's number, cannot be another's. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, SIGKILL);
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}

/** How many were killed. */
async function killMembers(group: number, cgroup: Cgroup): Promise<number> {
  let killed = 0;
  for (const pid of await listProcesses(cgroup)) {
    using member = Pidfd.open(pid);
    // Looked at once it is held: what has this group now is who gets the signal.
    if (member === undefined || processGroup(pid) !== group) continue;
    if (!member.signal(SIGKILL)) continue;
    killed += 1;
    await member.ended();
  }
  return killed;
}
