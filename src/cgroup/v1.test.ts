import { describe, expect, test } from 'vitest';
import { makeTree } from './fixtures/tree.ts';
import { v1Controllers, v1Files } from './fixtures/v1.ts';
import { readV1 } from './v1.ts';
import { parsePartitions } from './v1-blkio.ts';

const noLimit = 9223372036854771712n;

/** The fixture without the files of these prefixes. */
function without(...prefixes: string[]): Record<string, string> {
  const kept = Object.entries(v1Files).filter(
    ([path]) => !prefixes.some((p) => path.startsWith(p)),
  );
  return Object.fromEntries(kept);
}

describe('statistics from v1 hierarchies', () => {
  test('processor time in nanoseconds, clock ticks converted, per CPU in CPU order', () => {
    const metrics = readV1(v1Controllers(makeTree(v1Files)));
    expect(metrics?.cpu).toEqual({
      usage: {
        total: 70274636644n,
        user: 52_230_000_000n,
        kernel: 18_030_000_000n,
        per_cpu: [37095180701n, 0n, 33179455943n],
      },
      throttling: { periods: 17n, throttled_periods: 5n, throttled_time: 123456789n },
    });
  });

  test('memory with its own and its total figures', () => {
    const metrics = readV1(v1Controllers(makeTree(v1Files)));
    expect(metrics?.memory).toEqual({
      cache: 193761280n,
      rss: 1974272n,
      rss_huge: 2097152n,
      mapped_file: 4096n,
      dirty: 385024n,
      writeback: 8192n,
      pg_pg_in: 157414n,
      pg_pg_out: 118470n,
      pg_fault: 229728n,
      pg_maj_fault: 46n,
      inactive_anon: 1789952n,
      active_anon: 12288n,
      inactive_file: 75816960n,
      active_file: 117944320n,
      unevictable: 16384n,
      hierarchical_memory_limit: noLimit,
      hierarchical_swap_limit: noLimit,
      total_cache: 193761281n,
      total_rss: 1974273n,
      total_rss_huge: 2097153n,
      total_mapped_file: 4097n,
      total_dirty: 385025n,
      total_writeback: 8193n,
      total_pg_pg_in: 157415n,
      total_pg_pg_out: 118471n,
      total_pg_fault: 229729n,
      total_pg_maj_fault: 47n,
      total_inactive_anon: 1789953n,
      total_active_anon: 12289n,
      total_inactive_file: 75816961n,
      total_active_file: 117944321n,
      total_unevictable: 16385n,
      usage: { limit: 268435456n, usage: 195735552n, max: 201326592n, failcnt: 7n },
      swap: { limit: noLimit, usage: 195735553n, max: 201326593n, failcnt: 0n },
      kernel: { limit: noLimit, usage: 1200128n, max: 2400256n, failcnt: 0n },
      kernel_tcp: { limit: noLimit, usage: 0n, max: 0n, failcnt: 0n },
    });
    expect(metrics?.memory_oom_control).toEqual({
      oom_kill_disable: 0n,
      under_oom: 0n,
      oom_kill: 2n,
    });
  });

  test('processes, and no limit on them is 0', () => {
    const limited = readV1(v1Controllers(makeTree(v1Files)));
    expect(limited?.pids).toEqual({ current: 3n, limit: 512n });
    const free = readV1(v1Controllers(makeTree({ ...v1Files, 'pids/pids.max': 'max\n' })));
    expect(free?.pids).toEqual({ current: 3n, limit: 0n });
  });

  test('block I/O from the throttling layer, recursive where the kernel has it', () => {
    const blkio = readV1(v1Controllers(makeTree(v1Files)))?.blkio;
    const on = { device: '', major: 4095n, minor: 7n };
    expect(blkio?.io_service_bytes_recursive).toEqual([
      { ...on, op: 'Read', value: 4096n },
      { ...on, op: 'Write', value: 8192n },
      { ...on, op: 'Sync', value: 12288n },
      { ...on, op: 'Async', value: 0n },
      { ...on, op: 'Discard', value: 0n },
      { ...on, op: 'Total', value: 12288n },
    ]);
    expect(blkio?.io_serviced_recursive.map(({ op, value }) => [op, value])).toEqual([
      ['Read', 1n],
      ['Write', 2n],
      ['Total', 3n],
    ]);
  });

  test('block I/O from CFQ where it counts, sectors without an operation', () => {
    const root = makeTree({
      ...v1Files,
      'blkio/blkio.io_service_bytes_recursive': '4095:7 Read 1024\nTotal 1024\n',
      'blkio/blkio.io_serviced_recursive': 'Total 0\n',
      'blkio/blkio.sectors_recursive': '4095:7 42\n',
      'blkio/blkio.time_recursive': '4095:7 17\n',
    });
    const blkio = readV1(v1Controllers(root))?.blkio;
    expect(blkio?.io_service_bytes_recursive.map(({ value }) => value)).toEqual([1024n]);
    expect(blkio?.io_serviced_recursive.map(({ value }) => value)).toEqual([1n, 2n, 3n]);
    expect(blkio?.sectors_recursive).toEqual([
      { op: '', device: '', major: 4095n, minor: 7n, value: 42n },
    ]);
    expect(blkio?.io_time_recursive.map(({ value }) => value)).toEqual([17n]);
  });

  test('huge pages by size, without the reservation files', () => {
    const metrics = readV1(v1Controllers(makeTree(v1Files)));
    expect(metrics?.hugetlb).toEqual([
      { pagesize: '1GB', usage: 0n, max: 0n, failcnt: 0n },
      { pagesize: '2MB', usage: 4194304n, max: 6291456n, failcnt: 1n },
    ]);
  });

  test('RDMA, where no limit is 2^32 - 1', () => {
    const metrics = readV1(v1Controllers(makeTree(v1Files)));
    expect(metrics?.rdma).toEqual({
      current: [
        { device: 'mlx4_0', hca_handles: 2, hca_objects: 2000 },
        { device: 'ocrdma1', hca_handles: 1, hca_objects: 0 },
      ],
      limit: [
        { device: 'mlx4_0', hca_handles: 3, hca_objects: 0xffffffff },
        { device: 'ocrdma1', hca_handles: 0xffffffff, hca_objects: 0xffffffff },
      ],
    });
  });

  test('a controller that is not mounted leaves its part absent', () => {
    const controllers = v1Controllers(makeTree(v1Files));
    for (const name of ['memory', 'blkio', 'hugetlb', 'rdma']) controllers.delete(name);
    expect(Object.keys(readV1(controllers) ?? {}).sort()).toEqual(['cpu', 'pids']);
  });

  test('files a kernel does not have leave their figures zero', () => {
    const root = makeTree(
      without('memory/memory.memsw', 'memory/memory.kmem', 'cpuacct/cpuacct.u'),
    );
    const metrics = readV1(v1Controllers(root));
    const nothing = { limit: 0n, usage: 0n, max: 0n, failcnt: 0n };
    expect(metrics?.memory).toMatchObject({
      swap: nothing,
      kernel: nothing,
      kernel_tcp: nothing,
      usage: { usage: 195735552n },
    });
    expect(metrics?.cpu?.usage).toMatchObject({ total: 0n, per_cpu: [], user: 52_230_000_000n });
  });

  test('cpu without cpuacct still has its throttling', () => {
    const controllers = v1Controllers(makeTree(v1Files));
    controllers.delete('cpuacct');
    const metrics = readV1(controllers);
    expect(metrics?.cpu).toMatchObject({ usage: { total: 0n }, throttling: { periods: 17n } });
  });

  test('a cgroup that is gone in every hierarchy is undefined', () => {
    expect(readV1(v1Controllers(`${makeTree(v1Files)}/gone`))).toBeUndefined();
  });

  test('a file that holds no number is an error that names it', () => {
    const root = makeTree({ ...v1Files, 'memory/memory.failcnt': 'seven\n' });
    expect(() => readV1(v1Controllers(root))).toThrow(/memory\.failcnt holds no number/);
  });

  test('the negative "no limit" of old kernels is 0', () => {
    const root = makeTree({ ...v1Files, 'memory/memory.limit_in_bytes': '-1\n' });
    expect(readV1(v1Controllers(root))?.memory?.usage?.limit).toBe(0n);
  });
});

test('a block device is called by the first name it has', () => {
  const names = parsePartitions(
    'major minor  #blocks  name\n\n   8        0   10485760 sda\n   8        1    1048576 sda1\n   8        0   10485760 again\n',
  );
  expect([...names]).toEqual([
    ['8:0', '/dev/sda'],
    ['8:1', '/dev/sda1'],
  ]);
});
