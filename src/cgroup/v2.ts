import { type KeyedCounts, parseCount, readCount, readFileIfPresent, readKeyed } from './files.ts';
import type { BlkIOEntry, BlkIOStat, CPUStat, MemoryStat, Metrics } from './gen/metrics.ts';
import { readHugetlb, readRdma } from './shared.ts';

/**
 * Statistics from the unified hierarchy, told in v1's names as hcsshim converts them. Undefined
 * when the cgroup is gone. "max" is 2^64 - 1. Figures v2 does not have stay zero.
 */
export function readV2(directory: string): Partial<Metrics> | undefined {
  // Every cgroup but the root has this file, whatever controllers it has; the root has cpu.stat.
  const cpu = readKeyed(`${directory}/cpu.stat`);
  const events = readFileIfPresent(`${directory}/cgroup.events`);
  if (cpu === undefined && events === undefined) return undefined;

  const metrics: Partial<Metrics> = {};
  if (cpu !== undefined) metrics.cpu = convertCpu(cpu);
  const pids = readFileIfPresent(`${directory}/pids.current`);
  if (pids !== undefined) {
    metrics.pids = {
      current: parseCount(pids) ?? 0n,
      limit: readCount(`${directory}/pids.max`),
    };
  }
  readMemory(directory, metrics);
  const io = readFileIfPresent(`${directory}/io.stat`);
  if (io !== undefined) metrics.blkio = convertIo(io);
  const hugetlb = readHugetlb(directory, {
    usage: 'current',
    max: 'max',
    failcnt: (prefix) => readKeyed(`${prefix}.events`)?.get('max') ?? 0n,
  });
  if (hugetlb.length > 0) metrics.hugetlb = hugetlb;
  const rdma = readRdma(directory);
  if (rdma !== undefined) metrics.rdma = rdma;
  return metrics;
}

/** Microseconds to nanoseconds. */
function convertCpu(stat: KeyedCounts): CPUStat {
  return {
    usage: {
      total: stat.get('usage_usec') * 1000n,
      kernel: stat.get('system_usec') * 1000n,
      user: stat.get('user_usec') * 1000n,
      per_cpu: [],
    },
    throttling: {
      periods: stat.get('nr_periods'),
      throttled_periods: stat.get('nr_throttled'),
      throttled_time: stat.get('throttled_usec') * 1000n,
    },
  };
}

function readMemory(directory: string, metrics: Partial<Metrics>): void {
  const stat = readKeyed(`${directory}/memory.stat`);
  if (stat === undefined) return;
  const events = readKeyed(`${directory}/memory.events`);
  const limit = readCount(`${directory}/memory.max`);
  const swapLimit = readCount(`${directory}/memory.swap.max`);
  metrics.memory = {
    ...convertMemoryStat(stat),
    hierarchical_memory_limit: limit,
    hierarchical_swap_limit: swapLimit,
    usage: {
      limit,
      usage: readCount(`${directory}/memory.current`),
      max: readCount(`${directory}/memory.peak`),
      failcnt: events?.get('max') ?? 0n,
    },
    swap: {
      limit: swapLimit,
      usage: readCount(`${directory}/memory.swap.current`),
      max: readCount(`${directory}/memory.swap.peak`),
      failcnt: readKeyed(`${directory}/memory.swap.events`)?.get('max') ?? 0n,
    },
    kernel: { limit: 0n, usage: stat.get('kernel_stack'), max: 0n, failcnt: 0n },
    kernel_tcp: { limit: 0n, usage: stat.get('sock'), max: 0n, failcnt: 0n },
  };
  if (events !== undefined) {
    metrics.memory_oom_control = {
      oom_kill_disable: 0n,
      under_oom: 0n,
      oom_kill: events.get('oom_kill'),
    };
  }
}

type StatOnly = Omit<
  MemoryStat,
  | 'hierarchical_memory_limit'
  | 'hierarchical_swap_limit'
  | 'usage'
  | 'swap'
  | 'kernel'
  | 'kernel_tcp'
>;

/**
 * v2's memory.stat includes the cgroups below, so each figure is v1's plain one (what hcsshim
 * fills) and v1's total_ one as well: who computes a working set the v1 way subtracts
 * total_inactive_file.
 */
function convertMemoryStat(stat: KeyedCounts): StatOnly {
  const cache = stat.get('file');
  const rss = stat.get('anon');
  const hugePages = stat.get('anon_thp');
  const mapped = stat.get('file_mapped');
  const dirty = stat.get('file_dirty');
  const writeback = stat.get('file_writeback');
  const faults = stat.get('pgfault');
  const majorFaults = stat.get('pgmajfault');
  const inactiveAnon = stat.get('inactive_anon');
  const activeAnon = stat.get('active_anon');
  const inactiveFile = stat.get('inactive_file');
  const activeFile = stat.get('active_file');
  const unevictable = stat.get('unevictable');
  return {
    cache,
    rss,
    rss_huge: hugePages,
    mapped_file: mapped,
    dirty,
    writeback,
    pg_pg_in: 0n,
    pg_pg_out: 0n,
    pg_fault: faults,
    pg_maj_fault: majorFaults,
    inactive_anon: inactiveAnon,
    active_anon: activeAnon,
    inactive_file: inactiveFile,
    active_file: activeFile,
    unevictable,
    total_cache: cache,
    total_rss: rss,
    total_rss_huge: hugePages,
    total_mapped_file: mapped,
    total_dirty: dirty,
    total_writeback: writeback,
    total_pg_pg_in: 0n,
    total_pg_pg_out: 0n,
    total_pg_fault: faults,
    total_pg_maj_fault: majorFaults,
    total_inactive_anon: inactiveAnon,
    total_active_anon: activeAnon,
    total_inactive_file: inactiveFile,
    total_active_file: activeFile,
    total_unevictable: unevictable,
  };
}

/** Lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6" to v1's Read and Write entries. */
function convertIo(text: string): BlkIOStat {
  const bytes: BlkIOEntry[] = [];
  const operations: BlkIOEntry[] = [];
  for (const line of text.split('\n')) {
    const [, majorText, minorText, rest] = /^(\d+):(\d+) (.*)$/.exec(line) ?? [];
    if (majorText === undefined || minorText === undefined || rest === undefined) continue;
    const major = BigInt(majorText);
    const minor = BigInt(minorText);
    const pairs = new Map(rest.split(' ').map((pair) => pair.split('=', 2) as [string, string]));
    const entry = (op: string, key: string): BlkIOEntry => {
      return { op, device: '', major, minor, value: parseCount(pairs.get(key) ?? '') ?? 0n };
    };
    bytes.push(entry('Read', 'rbytes'), entry('Write', 'wbytes'));
    operations.push(entry('Read', 'rios'), entry('Write', 'wios'));
  }
  return {
    io_service_bytes_recursive: bytes,
    io_serviced_recursive: operations,
    io_queued_recursive: [],
    io_service_time_recursive: [],
    io_wait_time_recursive: [],
    io_merged_recursive: [],
    io_time_recursive: [],
    sectors_recursive: [],
  };
}
