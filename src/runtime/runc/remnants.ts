import { untilProcessEnds } from '../../os/process-end.ts';
import type { ContainerCgroup } from './container-cgroup.ts';

/** A process that forks while it is being killed can survive a round, not many. */
const maxRounds = 50;
/** A killed process that does not end within this time is stuck in the kernel. */
const roundLimitMs = 5_000;

/**
 * Kills what is left in a container's cgroup and resolves once all of it has ended: with the pid
 * namespace of others no kernel does that when init ends. Throws when something is left after
 * all.
 */
export async function killRemnants(cgroup: ContainerCgroup): Promise<number> {
  const killed = new Set<number>();
  for (let round = 0; round < maxRounds; round += 1) {
    const pids = cgroup.pids();
    if (pids.length === 0) return killed.size;
    const signal = AbortSignal.timeout(roundLimitMs);
    // Watched before they are killed, while the pids surely are theirs.
    const ends = pids.map((pid) => untilProcessEnds(pid, { signal }));
    cgroup.killAll();
    for (const pid of pids) killed.add(pid);
    await Promise.all(ends);
  }
  throw new Error(
    `processes ${cgroup.pids().join(', ')} are left after ${maxRounds} rounds of SIGKILL`,
  );
}
