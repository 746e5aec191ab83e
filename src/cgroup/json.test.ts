import { describe, expect, test } from 'vitest';
import { unlimited } from './files.ts';
import { makeTree } from './fixtures/tree.ts';
import { v1Controllers, v1Files } from './fixtures/v1.ts';
import { metricsToJson } from './json.ts';
import { emptyMetrics, readCgroupMetrics } from './metrics.ts';

describe('metrics as JSON', () => {
  test('zero figures are left out, objects stay when nothing is left in them', () => {
    const json = metricsToJson({
      ...emptyMetrics(),
      pids: { current: 0n, limit: 0n },
      cpu: { usage: { total: 5n, kernel: 0n, user: 5n, per_cpu: [] }, throttling: undefined },
      memory_oom_control: { oom_kill_disable: 0n, under_oom: 0n, oom_kill: 0n },
    });
    expect(json).toEqual({
      pids: {},
      cpu: { usage: { total: 5n, user: 5n } },
      memory_oom_control: {},
    });
  });

  test('field names are snake case', async () => {
    const root = makeTree(v1Files);
    const metrics = await readCgroupMetrics({
      controllers: v1Controllers(root),
      unified: undefined,
    });
    expect(metricsToJson(metrics)).toMatchObject({
      cpu: { usage: { per_cpu: [37095180701n, 0n, 33179455943n] } },
      memory: {
        pg_pg_in: 157414n,
        hierarchical_memory_limit: 9223372036854771712n,
        kernel_tcp: { limit: 9223372036854771712n },
      },
      memory_oom_control: { oom_kill: 2n },
      hugetlb: [{ pagesize: '1GB' }, { pagesize: '2MB', usage: 4194304n }],
    });
  });

  test('what grows with the number of devices is emptied', async () => {
    const root = makeTree(v1Files);
    const metrics = await readCgroupMetrics({
      controllers: v1Controllers(root),
      unified: undefined,
    });
    expect(metrics.blkio?.io_service_bytes_recursive).toHaveLength(6);
    const json = metricsToJson(metrics);
    expect(json).toMatchObject({ blkio: {}, rdma: {} });
    expect(json.blkio).toEqual({});
    expect(json.rdma).toEqual({});
    expect(json).not.toHaveProperty('network');
    expect(metrics.blkio?.io_service_bytes_recursive).toHaveLength(6);
  });

  test('the largest figure is exact, one beyond 64 bits is refused', () => {
    const withLimit = (limit: bigint) => ({ ...emptyMetrics(), pids: { current: 1n, limit } });
    expect(metricsToJson(withLimit(unlimited))).toEqual({
      pids: { current: 1n, limit: unlimited },
    });
    expect(() => metricsToJson(withLimit(unlimited + 1n))).toThrow(RangeError);
    expect(() => metricsToJson(withLimit(-1n))).toThrow(RangeError);
  });
});
