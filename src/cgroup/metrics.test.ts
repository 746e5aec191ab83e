import { describe, expect, test } from 'vitest';
import { makeTree } from './fixtures/tree.ts';
import { v1Controllers, v1Files } from './fixtures/v1.ts';
import { v2Files } from './fixtures/v2.ts';
import { type Cgroup, locateCgroup } from './hierarchy.ts';
import { readCgroupMetrics } from './metrics.ts';

describe('statistics of a cgroup', () => {
  test('hybrid: each controller from where it is, processor time from v1', () => {
    const legacy = makeTree(v1Files);
    const all = v1Controllers(legacy);
    const controllers = new Map(
      ['cpu', 'cpuacct', 'pids'].map((name) => [name, all.get(name) as string]),
    );
    const metrics = readCgroupMetrics({ controllers, unified: makeTree(v2Files) });
    expect(metrics.cpu?.usage?.per_cpu).toHaveLength(3);
    expect(metrics.pids?.limit).toBe(512n);
    expect(metrics.memory?.kernel?.usage).toBe(49152n);
  });

  test('hybrid: without its v1 cgroups a container is gone, whatever unified one it was in', () => {
    const controllers = v1Controllers(`${makeTree({})}/gone`);
    const unified = makeTree(v2Files);
    expect(() => readCgroupMetrics({ controllers, unified })).toThrow(
      expect.objectContaining({ code: 'container-not-running' }),
    );
  });

  test('hybrid: processor time is never that of the unified cgroup where v1 counts it', () => {
    const all = v1Controllers(makeTree({ 'pids/pids.current': '1\n', 'pids/pids.max': 'max\n' }));
    const metrics = readCgroupMetrics({ controllers: all, unified: makeTree(v2Files) });
    expect(metrics.pids?.current).toBe(1n);
    expect(metrics.cpu).toBeUndefined();
  });

  test('a v1 hierarchy that only groups processes leaves the figures to v2', () => {
    const controllers = new Map([['name=systemd', makeTree({})]]);
    const metrics = readCgroupMetrics({ controllers, unified: makeTree(v2Files) });
    expect(metrics.cpu?.usage?.total).toBe(70_274_636_000n);
  });

  test('a cgroup that is gone is the typed error', () => {
    const gone = `${makeTree({})}/gone`;
    const cgroup = { controllers: new Map([['memory', gone]]), unified: gone };
    expect(() => readCgroupMetrics(cgroup)).toThrow(
      expect.objectContaining({
        name: 'AgentError',
        code: 'container-not-running',
      }),
    );
  });

  test('of this very process: figures of a running machine', () => {
    const metrics = readCgroupMetrics(locateCgroup(process.pid) as Cgroup);
    expect(metrics.cpu?.usage?.total).toBeGreaterThan(0n);
  });
});
