import { describe, expect, test } from 'vitest';
import { unlimited } from './files.ts';
import { makeTree } from './fixtures/tree.ts';
import { v2Files } from './fixtures/v2.ts';
import { readV2 } from './v2.ts';

describe('statistics from the unified hierarchy, in v1 terms', () => {
  test('processor time in nanoseconds', () => {
    const metrics = readV2(makeTree(v2Files));
    expect(metrics?.cpu).toEqual({
      usage: {
        total: 70_274_636_000n,
        user: 52_230_000_000n,
        kernel: 18_044_636_000n,
        per_cpu: [],
      },
      throttling: { periods: 17n, throttled_periods: 5n, throttled_time: 123_456_000n },
    });
  });

  test('memory under its v1 names, the total figures with them', () => {
    const memory = readV2(makeTree(v2Files))?.memory;
    expect(memory).toMatchObject({
      rss: 1974272n,
      cache: 193761280n,
      rss_huge: 2097152n,
      mapped_file: 12288n,
      dirty: 385024n,
      writeback: 8192n,
      pg_fault: 229728n,
      pg_maj_fault: 46n,
      inactive_anon: 1789952n,
      active_anon: 12288n,
      inactive_file: 75816960n,
      active_file: 117944320n,
      unevictable: 16384n,
      hierarchical_memory_limit: 268435456n,
      hierarchical_swap_limit: unlimited,
      total_rss: 1974272n,
      total_cache: 193761280n,
      total_inactive_file: 75816960n,
      total_pg_fault: 229728n,
      pg_pg_in: 0n,
    });
    expect(memory?.usage).toEqual({
      limit: 268435456n,
      usage: 195735552n,
      max: 201326592n,
      failcnt: 7n,
    });
    expect(memory?.swap).toEqual({ limit: unlimited, usage: 4096n, max: 8192n, failcnt: 4n });
    expect(memory?.kernel).toEqual({ limit: 0n, usage: 49152n, max: 0n, failcnt: 0n });
    expect(memory?.kernel_tcp).toEqual({ limit: 0n, usage: 4096n, max: 0n, failcnt: 0n });
  });

  test('no limit is 2^64 - 1', () => {
    expect(readV2(makeTree(v2Files))?.pids).toEqual({ current: 3n, limit: unlimited });
    expect(unlimited).toBe(18446744073709551615n);
  });

  test('kills for memory', () => {
    expect(readV2(makeTree(v2Files))?.memory_oom_control).toEqual({
      oom_kill_disable: 0n,
      under_oom: 0n,
      oom_kill: 2n,
    });
  });

  test('block I/O as reads and writes of each device', () => {
    const blkio = readV2(makeTree(v2Files))?.blkio;
    const sda = { device: '', major: 8n, minor: 0n };
    const dm1 = { device: '', major: 253n, minor: 1n };
    const loop = { device: '', major: 7n, minor: 0n };
    expect(blkio?.io_service_bytes_recursive).toEqual([
      { ...sda, op: 'Read', value: 4096n },
      { ...sda, op: 'Write', value: 8192n },
      { ...dm1, op: 'Read', value: unlimited },
      { ...dm1, op: 'Write', value: 0n },
      { ...loop, op: 'Read', value: 0n },
      { ...loop, op: 'Write', value: 0n },
    ]);
    expect(blkio?.io_serviced_recursive.map(({ value }) => value)).toEqual([
      1n,
      2n,
      3n,
      0n,
      0n,
      0n,
    ]);
  });

  test('huge pages and RDMA', () => {
    const metrics = readV2(makeTree(v2Files));
    expect(metrics?.hugetlb).toEqual([
      { pagesize: '2MB', usage: 4194304n, max: unlimited, failcnt: 1n },
    ]);
    expect(metrics?.rdma?.limit).toEqual([
      { device: 'mlx4_0', hca_handles: 3, hca_objects: 0xffffffff },
    ]);
  });

  test('without controllers there is processor time and nothing else', () => {
    const metrics = readV2(
      makeTree({
        'cgroup.events': 'populated 1\nfrozen 0\n',
        'cpu.stat': 'usage_usec 5\nuser_usec 3\nsystem_usec 2\n',
      }),
    );
    expect(Object.keys(metrics ?? {})).toEqual(['cpu']);
    expect(metrics?.cpu?.usage?.total).toBe(5000n);
  });

  test('kernels without peak and swap files leave those figures zero', () => {
    const { 'memory.peak': _, ...files } = v2Files;
    const kept = Object.entries(files).filter(([name]) => !name.startsWith('memory.swap'));
    const memory = readV2(makeTree(Object.fromEntries(kept)))?.memory;
    expect(memory?.usage?.max).toBe(0n);
    expect(memory?.swap).toEqual({ limit: 0n, usage: 0n, max: 0n, failcnt: 0n });
  });

  test('a cgroup that is gone is undefined', () => {
    expect(readV2(`${makeTree(v2Files)}/gone`)).toBeUndefined();
  });
});
