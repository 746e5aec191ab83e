import type { Metrics } from '../cgroup/metrics.ts';
import { AgentError } from '../errors.ts';
import type { Container } from './container.ts';

/** Figures of a container's cgroup; the last ones of a container that has ended, until it is deleted. */
export async function containerStatistics({ id, runtime }: Container): Promise<Metrics> {
  if (runtime.cgroup === undefined) {
    throw new AgentError('failed', `container ${id} has no cgroup of its own`, {
      operation: 'statistics',
      containerId: id,
    });
  }
  // Loaded when first used: an agent that is never asked pays nothing.
  const { readCgroupMetrics } = await import('../cgroup/metrics.ts');
  return readCgroupMetrics(runtime.cgroup);
}
