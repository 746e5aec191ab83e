import { AgentError } from '../errors.ts';
import type { Metrics } from './gen/metrics.ts';
import type { Cgroup } from './hierarchy.ts';
import { readV1 } from './v1.ts';
import { readV2 } from './v2.ts';

export type { Metrics } from './gen/metrics.ts';

/** A message with nothing in it, as the protobuf code would make one. */
export function emptyMetrics(): Metrics {
  return {
    hugetlb: [],
    pids: undefined,
    cpu: undefined,
    memory: undefined,
    blkio: undefined,
    rdma: undefined,
    network: [],
    cgroup_stats: undefined,
    memory_oom_control: undefined,
  };
}

/**
 * Statistics of one cgroup, in cgroup v1 terms whatever the machine has. Controllers that are not there leave their part absent, files that
 * are not there leave their figure zero. AgentError 'container-not-running' when the cgroup
 * itself is gone.
 *
 * At once, some two hundred microseconds: who looks at many cgroups lets others have their turn in
 * between.
 */
export function readCgroupMetrics(cgroup: Cgroup): Metrics {
  const { controllers, unified } = cgroup;
  const legacy = readV1(controllers);
  // Where v1 has controllers, that is where the container has cgroups of its own: when they are
  // gone so is it, whichever unified cgroup, perhaps the agent's, it was in besides.
  const rest =
    unified === undefined || (legacy === undefined && hasControllers(cgroup))
      ? undefined
      : readV2(unified);
  if (legacy === undefined && rest === undefined) {
    throw new AgentError('container-not-running', 'the cgroup of the container is gone');
  }
  // cpu.stat is in every unified cgroup, also where v1 has the controller.
  if (controllers.has('cpu') || controllers.has('cpuacct')) delete rest?.cpu;
  return { ...emptyMetrics(), ...rest, ...legacy };
}

/** False for named hierarchies alone, which only group processes. */
function hasControllers({ controllers }: Cgroup): boolean {
  return [...controllers.keys()].some((name) => !name.startsWith('name='));
}
