import { readCount, readFileIfPresent, readKeyed } from './files.ts';
import type { CPUStat, MemoryEntry, MemoryStat, Metrics, PidsStat } from './gen/metrics.ts';
import { readHugetlb, readRdma } from './shared.ts';
import { readBlkio } from './v1-blkio.ts';

/** Nanoseconds of a clock tick: USER_HZ is 100 on every architecture this agent runs on (time(7)). */
const nanosecondsPerTick = 10_000_000n;

/**
 * Statistics from v1 hierarchies: the parts whose controllers are mounted. Undefined when none
 * of them has this cgroup. `controllers`: directory by controller.
 */
export function readV1(controllers: ReadonlyMap<string, string>): Partial<Metrics> | undefined {
  const metrics: Partial<Metrics> = {};
  const pids = controllers.get('pids');
  if (pids !== undefined) assign(metrics, 'pids', readPids(pids));
  assign(metrics, 'cpu', readCpu(controllers.get('cpu'), controllers.get('cpuacct')));
  const memory = controllers.get('memory');
  if (memory !== undefined) {
    assign(metrics, 'memory', readMemory(memory));
    const oom = readKeyed(`${memory}/memory.oom_control`);
    if (oom !== undefined) {
      metrics.memory_oom_control = {
        oom_kill_disable: oom.get('oom_kill_disable'),
        under_oom: oom.get('under_oom'),
        oom_kill: oom.get('oom_kill'),
      };
    }
  }
  const blkio = controllers.get('blkio');
  if (blkio !== undefined) assign(metrics, 'blkio', readBlkio(blkio));
  const hugetlb = controllers.get('hugetlb');
  if (hugetlb !== undefined) {
    const sizes = readHugetlb(hugetlb, {
      usage: 'usage_in_bytes',
      max: 'max_usage_in_bytes',
      failcnt: (prefix) => readCount(`${prefix}.failcnt`),
    });
    if (sizes.length > 0) metrics.hugetlb = sizes;
  }
  const rdma = controllers.get('rdma');
  if (rdma !== undefined) assign(metrics, 'rdma', readRdma(rdma));
  return Object.keys(metrics).length === 0 ? undefined : metrics;
}

function assign<K extends keyof Metrics>(
  metrics: Partial<Metrics>,
  key: K,
  value: Metrics[K] | undefined,
): void {
  if (value !== undefined) metrics[key] = value;
}

function readPids(directory: string): PidsStat | undefined {
  const current = readFileIfPresent(`${directory}/pids.current`);
  if (current === undefined) return undefined;
  return {
    current: BigInt(current.trim()),
    // No limit is 0 here, and 2^64 - 1 from v2: containerd's figures, kept for who compares.
    limit: readCount(`${directory}/pids.max`, 0n),
  };
}

function readCpu(cpu: string | undefined, cpuacct: string | undefined): CPUStat | undefined {
  const throttling = cpu === undefined ? undefined : readKeyed(`${cpu}/cpu.stat`);
  const ticks = cpuacct === undefined ? undefined : readKeyed(`${cpuacct}/cpuacct.stat`);
  if (throttling === undefined && ticks === undefined) return undefined;
  const perCpu =
    cpuacct === undefined ? undefined : readFileIfPresent(`${cpuacct}/cpuacct.usage_percpu`);
  return {
    usage: {
      total: cpuacct === undefined ? 0n : readCount(`${cpuacct}/cpuacct.usage`),
      kernel: (ticks?.get('system') ?? 0n) * nanosecondsPerTick,
      user: (ticks?.get('user') ?? 0n) * nanosecondsPerTick,
      per_cpu: (perCpu ?? '')
        .split(/\s+/)
        .filter((figure) => figure !== '')
        .map(BigInt),
    },
    throttling: {
      periods: throttling?.get('nr_periods') ?? 0n,
      throttled_periods: throttling?.get('nr_throttled') ?? 0n,
      throttled_time: throttling?.get('throttled_time') ?? 0n,
    },
  };
}

function readMemory(directory: string): MemoryStat | undefined {
  const stat = readKeyed(`${directory}/memory.stat`);
  if (stat === undefined) return undefined;
  return {
    cache: stat.get('cache'),
    rss: stat.get('rss'),
    rss_huge: stat.get('rss_huge'),
    mapped_file: stat.get('mapped_file'),
    dirty: stat.get('dirty'),
    writeback: stat.get('writeback'),
    pg_pg_in: stat.get('pgpgin'),
    pg_pg_out: stat.get('pgpgout'),
    pg_fault: stat.get('pgfault'),
    pg_maj_fault: stat.get('pgmajfault'),
    inactive_anon: stat.get('inactive_anon'),
    active_anon: stat.get('active_anon'),
    inactive_file: stat.get('inactive_file'),
    active_file: stat.get('active_file'),
    unevictable: stat.get('unevictable'),
    hierarchical_memory_limit: stat.get('hierarchical_memory_limit'),
    hierarchical_swap_limit: stat.get('hierarchical_memsw_limit'),
    total_cache: stat.get('total_cache'),
    total_rss: stat.get('total_rss'),
    total_rss_huge: stat.get('total_rss_huge'),
    total_mapped_file: stat.get('total_mapped_file'),
    total_dirty: stat.get('total_dirty'),
    total_writeback: stat.get('total_writeback'),
    total_pg_pg_in: stat.get('total_pgpgin'),
    total_pg_pg_out: stat.get('total_pgpgout'),
    total_pg_fault: stat.get('total_pgfault'),
    total_pg_maj_fault: stat.get('total_pgmajfault'),
    total_inactive_anon: stat.get('total_inactive_anon'),
    total_active_anon: stat.get('total_active_anon'),
    total_inactive_file: stat.get('total_inactive_file'),
    total_active_file: stat.get('total_active_file'),
    total_unevictable: stat.get('total_unevictable'),
    usage: readEntry(`${directory}/memory`),
    swap: readEntry(`${directory}/memory.memsw`),
    kernel: readEntry(`${directory}/memory.kmem`),
    kernel_tcp: readEntry(`${directory}/memory.kmem.tcp`),
  };
}

function readEntry(prefix: string): MemoryEntry {
  return {
    limit: readCount(`${prefix}.limit_in_bytes`),
    usage: readCount(`${prefix}.usage_in_bytes`),
    max: readCount(`${prefix}.max_usage_in_bytes`),
    failcnt: readCount(`${prefix}.failcnt`),
  };
}
