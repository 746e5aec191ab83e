import { readdirSync } from 'node:fs';
import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import type { MetricFamily } from '../uvm/management.ts';

const MICROSECONDS = 1e6;

/** Figures of the agent's process and of the door itself, from when the door was first used. */
export class OwnMetrics {
  /** By method, then by outcome: "ok" or the code of the error. */
  readonly #requests = new Map<string, Map<string, number>>();
  #last: EventLoopUtilization | undefined;

  /** Share of the time in which the event loop was busy since this was last asked, 0 to 1. */
  utilization(): number {
    const now = performance.eventLoopUtilization();
    const { utilization } =
      this.#last === undefined ? now : performance.eventLoopUtilization(now, this.#last);
    this.#last = now;
    return utilization;
  }

  /** `method` is one of the contract: what a client makes up would grow this without a bound. */
  count(method: string, outcome: string): void {
    const outcomes = this.#requests.get(method) ?? new Map<string, number>();
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    this.#requests.set(method, outcomes);
  }

  families(clients: number): MetricFamily[] {
    const { user, system } = process.cpuUsage();
    const requests = [...this.#requests].flatMap(([method, outcomes]) =>
      [...outcomes].map(([outcome, value]) => ({ labels: { method, outcome }, value })),
    );
    return [
      gauge('process_resident_memory_bytes', 'Resident memory.', process.memoryUsage.rss()),
      gauge('process_open_fds', 'Open descriptors.', readdirSync('/proc/self/fd').length - 1),
      gauge('process_start_time_seconds', 'Start, since 1970.', performance.timeOrigin / 1000),
      counter('process_cpu_seconds_total', 'CPU time.', [
        { value: (user + system) / MICROSECONDS },
      ]),
      counter('gcs_event_loop_busy_seconds_total', 'Time the event loop was busy.', [
        { value: performance.eventLoopUtilization().active / 1000 },
      ]),
      gauge('gcs_management_clients', 'Clients of the management door.', clients),
      counter('gcs_management_requests_total', 'Requests, by their outcome.', requests),
    ];
  }
}

function gauge(name: string, help: string, value: number): MetricFamily {
  return { name, help, type: 'gauge', samples: [{ value }] };
}

function counter(
  name: string,
  help: string,
  samples: { labels?: Record<string, string>; value: number }[],
): MetricFamily {
  return { name, help, type: 'counter', samples };
}
