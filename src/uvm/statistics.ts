import type { Cgroup } from '../cgroup/hierarchy.ts';
import type { Metrics } from '../cgroup/metrics.ts';
import { AgentError } from '../errors.ts';
import type { Container } from './container.ts';

/** Where a container's cgroup is cannot change and is only told while init lives: remembered. */
const cgroups = new WeakMap<Container, Cgroup>();

/** Figures of a container's cgroup; 'container-not-running' when it ended before anybody asked. */
export async function containerStatistics(container: Container): Promise<Metrics> {
  // Loaded when first used: an agent that is never asked pays nothing.
  const { readCgroupMetrics } = await import('../cgroup/metrics.ts');
  const cgroup = cgroups.get(container) ?? (await locate(container));
  cgroups.set(container, cgroup);
  return await readCgroupMetrics(cgroup);
}

async function locate(container: Container): Promise<Cgroup> {
  const { locateCgroup } = await import('../cgroup/hierarchy.ts');
  const cgroup = container.init.running ? await locateCgroup(container.init.pid) : undefined;
  if (cgroup === undefined) {
    throw new AgentError('container-not-running', `container ${container.id} is not running`, {
      operation: 'statistics',
      containerId: container.id,
    });
  }
  return cgroup;
}
