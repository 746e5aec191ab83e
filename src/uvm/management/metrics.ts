import type { Reaper } from '../../os/reaper.ts';
import type { Container } from '../container.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { MetricFamily, MetricSample } from '../management-types.ts';

/** Figures of the VM's containers; those of the agent's own process are the door's. */
export function vmMetrics(
  containers: readonly Container[],
  lifecycle: Lifecycle,
  reaper: Pick<Reaper, 'orphansCollected' | 'watched'>,
): MetricFamily[] {
  const { execTimes } = lifecycle;
  return [
    gauge('gcs_containers', 'Containers by their status.', byStatus(containers)),
    gauge('gcs_container_execs', 'Running processes that were started in containers.', [
      { value: containers.reduce((sum, container) => sum + runningExecs(container), 0) },
    ]),
    counter(
      'gcs_events_total',
      'Events of containers by their kind.',
      [...lifecycle.counts].map(([kind, value]) => ({ labels: { kind }, value })),
    ),
    {
      name: 'gcs_exec_duration_seconds',
      help: 'From the request of an exec to the pid of its process.',
      type: 'histogram',
      ...execTimes.snapshot(),
    },
    gauge('gcs_watched_processes', 'Processes whose end the agent waits for.', [
      { value: reaper.watched },
    ]),
    counter('gcs_orphans_collected_total', 'Processes of others that the agent has collected.', [
      { value: reaper.orphansCollected },
    ]),
  ];
}

function byStatus(containers: readonly Container[]): MetricSample[] {
  const counts = new Map(['created', 'running', 'paused', 'stopped'].map((name) => [name, 0]));
  for (const { status } of containers) counts.set(status, (counts.get(status) ?? 0) + 1);
  return [...counts].map(([status, value]) => ({ labels: { status }, value }));
}

function runningExecs(container: Container): number {
  return [...container.processes, ...container.others].filter((process) => process.running).length;
}

function gauge(name: string, help: string, samples: MetricSample[]): MetricFamily {
  return { name, help, type: 'gauge', samples };
}

function counter(name: string, help: string, samples: MetricSample[]): MetricFamily {
  return { name, help, type: 'counter', samples };
}
