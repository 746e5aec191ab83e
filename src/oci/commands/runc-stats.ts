import type { Result } from '../../management/contract.ts';

type Figures = Result<'container.stats'>['stats'][number];
type Group = Record<string, unknown>;

const group = (value: unknown): Group => (value ?? {}) as Group;
const count = (value: unknown): unknown => value ?? 0;
const list = (value: unknown): unknown => value ?? null;

function memoryUsage(value: unknown): Group {
  const { limit, usage, max, failcnt } = group(value);
  return { limit: count(limit), usage: count(usage), max: count(max), failcnt: count(failcnt) };
}

/** The figures in the shape and with the names of `runc events --stats`. */
export function runcStats({ metrics, network }: Figures): Group {
  const { cpu, memory, pids, blkio, hugetlb } = metrics as Record<string, unknown>;
  const usage = group(group(cpu).usage);
  const throttling = group(group(cpu).throttling);
  const { cache, usage: used, swap, kernel, kernel_tcp, ...raw } = group(memory);
  return {
    cpu: {
      usage: {
        total: count(usage.total),
        percpu: list(usage.per_cpu),
        kernel: count(usage.kernel),
        user: count(usage.user),
      },
      throttling: {
        periods: count(throttling.periods),
        throttledPeriods: count(throttling.throttled_periods),
        throttledTime: count(throttling.throttled_time),
      },
    },
    cpuset: {},
    memory: {
      cache: count(cache),
      usage: memoryUsage(used),
      swap: memoryUsage(swap),
      kernel: memoryUsage(kernel),
      kernelTCP: memoryUsage(kernel_tcp),
      raw,
    },
    pids: { current: count(group(pids).current), limit: count(group(pids).limit) },
    blkio: blockIo(group(blkio)),
    hugetlb: group(hugetlb),
    intel_rdt: {},
    network_interfaces: network.map(({ name, ...figures }) => ({ Name: name, ...figures })),
  };
}

function blockIo(blkio: Group): Group {
  return {
    ioServiceBytesRecursive: list(blkio.io_service_bytes_recursive),
    ioServicedRecursive: list(blkio.io_serviced_recursive),
    ioQueueRecursive: list(blkio.io_queued_recursive),
    ioServiceTimeRecursive: list(blkio.io_service_time_recursive),
    ioWaitTimeRecursive: list(blkio.io_wait_time_recursive),
    ioMergedRecursive: list(blkio.io_merged_recursive),
    ioTimeRecursive: list(blkio.io_time_recursive),
    sectorsRecursive: list(blkio.sectors_recursive),
  };
}
