import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Cgroup } from '../../src/cgroup/hierarchy.ts';
import { metricsToJson } from '../../src/cgroup/json.ts';
import { readCgroupMetrics } from '../../src/cgroup/metrics.ts';
import { readOomKills } from '../../src/cgroup/oom.ts';
import { stringifyJson } from '../../src/json.ts';
import type { RuntimeContainer } from '../../src/runtime/runtime.ts';
import { decodeExact } from '../support/exact-json.ts';
import { eachRuntime, untilCommands } from '../support/runtime-suite.ts';

const MiB = 1024 * 1024;

function cgroupOf({ cgroup }: RuntimeContainer): Cgroup {
  if (cgroup === undefined) throw new Error('the container has no cgroup');
  return cgroup;
}

eachRuntime((suite) => {
  it('tells the figures of a running container as its cgroup has them', async () => {
    const container = await suite.lab.create({
      args: 'sleep 1000 & wait',
      resources: { pids: { limit: 50 }, memory: { limit: 64 * MiB } },
    });
    await container.start();
    await untilCommands(container, ['sh -c sleep 1000 & wait', 'sleep 1000']);

    const metrics = readCgroupMetrics(cgroupOf(container));
    expect(metrics.pids).toEqual({ current: 2n, limit: 50n });
    expect(metrics.memory?.usage?.limit).toBe(BigInt(64 * MiB));
    expect(metrics.memory?.usage?.usage).toBeGreaterThan(0n);
    expect(metrics.memory?.usage?.usage).toBeLessThanOrEqual(metrics.memory?.usage?.max ?? 0n);
    expect(metrics.memory?.total_rss).toBeGreaterThan(0n);
    expect(metrics.cpu?.usage?.total).toBeGreaterThan(0n);
    expect(metrics.memory_oom_control?.oom_kill).toBe(0n);

    await container.kill(9);
    await container.init.exited;
    await container.delete();
  });

  it('writes figures beyond 2^53 digit for digit', async () => {
    const container = await suite.lab.create({ args: 'sleep 1000' });
    const cgroup = cgroupOf(container);
    const text = stringifyJson(metricsToJson(readCgroupMetrics(cgroup)));
    const limitFile =
      cgroup.controllers.get('memory') === undefined
        ? undefined
        : readFileSync(`${cgroup.controllers.get('memory')}/memory.limit_in_bytes`, 'utf8').trim();
    const limit = limitFile ?? '18446744073709551615';
    expect(BigInt(limit)).toBeGreaterThan(BigInt(Number.MAX_SAFE_INTEGER));
    expect(text).toContain(`"usage":{"limit":${limit}`);
    expect(decodeExact(text)).toMatchObject({ memory: { usage: { limit: BigInt(limit) } } });
    await container.delete({ force: true });
    await container.init.exited;
  });

  it('still tells the figures after the end, and that they are gone after the deletion', async () => {
    const container = await suite.lab.create({
      args: 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done',
    });
    const cgroup = cgroupOf(container);
    const before = readCgroupMetrics(cgroup);
    await container.start();
    await container.init.exited;

    const after = readCgroupMetrics(cgroup);
    const { total = 0n, per_cpu = [] } = after.cpu?.usage ?? {};
    expect(total).toBeGreaterThan(before.cpu?.usage?.total ?? 0n);
    // Nothing runs any more, so the parts are those of the sum (v2 has no parts).
    if (cgroup.controllers.has('cpuacct')) {
      expect(per_cpu.reduce((sum, part) => sum + part, 0n)).toBe(total);
    }
    expect(after.pids?.current).toBe(0n);

    await container.delete();
    expect(() => readCgroupMetrics(cgroup)).toThrow(
      expect.objectContaining({
        code: 'container-not-running',
      }),
    );
    expect(readOomKills(cgroup)).toBeUndefined();
  });

  it('tells that it was memory that ended a container', async () => {
    const container = await suite.lab.create({
      args: 'exec tail /dev/zero',
      resources: { memory: { limit: 16 * MiB, swap: 16 * MiB } },
    });
    const cgroup = cgroupOf(container);
    expect(readOomKills(cgroup)).toBe(0);
    await container.start();
    expect(await container.init.exited).toMatchObject({ kind: 'signaled', signal: 9 });
    expect(readOomKills(cgroup)).toBe(1);
    const { memory, memory_oom_control: control } = readCgroupMetrics(cgroup);
    expect(memory?.usage?.max).toBe(BigInt(16 * MiB));
    expect(control?.oom_kill).toBe(1n);
    await container.delete();
  });
});
