import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseCgroupMounts } from '../../src/cgroup/hierarchy.ts';
import type { Child } from '../../src/os/process.ts';
import { untilProcessEnds } from '../../src/os/process-end.ts';
import { Reaper } from '../../src/os/reaper.ts';
import { ContainerCgroup } from '../../src/runtime/runc/container-cgroup.ts';
import { killRemnants } from '../../src/runtime/runc/remnants.ts';
import { descendants } from '../support/proc.ts';

const mounts = parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));

/** Mount points by the ways there are to kill. */
const hierarchies = {
  'v1 freezer': mounts.find((mount) => mount.options.includes('freezer'))?.mountPoint,
  'v1 without a freezer': mounts.find((mount) => mount.options.includes('pids'))?.mountPoint,
  v2: mounts.find((mount) => mount.version === 2)?.mountPoint,
};

/** What the test runner itself has started. */
const others = descendants(process.pid);
let reaper: Reaper;
beforeEach(() => {
  reaper = Reaper.start();
});
afterEach(async () => {
  try {
    // Orphans are ours as long as the reaper is: none may be left running.
    await expect.poll(() => descendants(process.pid), { timeout: 5_000 }).toEqual(others);
  } finally {
    reaper[Symbol.dispose]();
  }
});

/** A child whose end is the end of all it started; 'exec' keeps the shell from leaving a child. */
function sleeper(script = 'exec sleep 1000'): Child {
  const args = ['sh', '-c', script];
  const env = ['PATH=/usr/bin:/bin'];
  return reaper.spawn({ file: '/bin/sh', args, env, stdio: [null, null, null] });
}

it("never takes the agent's own cgroup for a container's", async () => {
  expect(ContainerCgroup.of(process.pid)).toBeUndefined();
  const child = sleeper();
  expect(ContainerCgroup.of(child.pid)).toBeUndefined();
  child.signal(9);
  await child.exited;
  expect(ContainerCgroup.of(child.pid)).toBeUndefined();
});

describe.each(Object.entries(hierarchies))('%s', (name, mountPoint) => {
  describe.skipIf(mountPoint === undefined || !existsSync(mountPoint))('as the hierarchy', () => {
    let directory: string;
    beforeEach(() => {
      directory = join(mountPoint ?? '', `gcs-cgroup-${process.pid}`);
      mkdirSync(join(directory, 'nested'), { recursive: true });
    });
    afterEach(() => {
      for (const path of [join(directory, 'nested'), directory]) {
        if (existsSync(path)) rmdirSync(path);
      }
    });

    /** For a script: into the cgroup before it has children, which would stay outside. */
    const joinCgroup = (): string => `echo $$ > ${directory}/cgroup.procs`;

    it('lists and kills every process of the cgroup and of those below', async () => {
      const child = sleeper(`${joinCgroup()}; sleep 1000 & sleep 1000 & wait`);
      const below = sleeper();
      writeFileSync(join(directory, 'cgroup.procs'), String(child.pid));
      writeFileSync(join(directory, 'nested/cgroup.procs'), String(below.pid));
      const cgroup = ContainerCgroup.of(child.pid);
      if (cgroup === undefined) throw new Error('no cgroup found');
      expect(cgroup.directories).toEqual([directory]);
      while (cgroup.pids().length < 4) await new Promise((resolve) => setImmediate(resolve));
      expect(cgroup.pids()).toEqual(expect.arrayContaining([child.pid, below.pid]));
      expect(await killRemnants(cgroup)).toBe(4);
      expect(await child.exited).toMatchObject({ kind: 'signaled', signal: 9 });
      expect(await below.exited).toMatchObject({ kind: 'signaled', signal: 9 });
      expect(cgroup.pids()).toEqual([]);
      expect(await killRemnants(cgroup)).toBe(0);
      rmdirSync(join(directory, 'nested'));
      cgroup.removeEmpty();
      expect(existsSync(directory)).toBe(false);
      cgroup.removeEmpty();
      expect(cgroup.pids()).toEqual([]);
    });

    it('kills processes that fork all the time', async () => {
      const child = sleeper(
        `${joinCgroup()}; while :; do sh -c "sleep 0.01; :" & sleep 0.002; done`,
      );
      writeFileSync(join(directory, 'cgroup.procs'), String(child.pid));
      const cgroup = ContainerCgroup.of(child.pid);
      if (cgroup === undefined) throw new Error('no cgroup found');
      while (cgroup.pids().length < 4) await new Promise((resolve) => setImmediate(resolve));
      expect(await killRemnants(cgroup)).toBeGreaterThan(1);
      expect(cgroup.pids()).toEqual([]);
      await child.exited;
    });

    it.runIf(name === 'v1 freezer')('kills what is frozen', async () => {
      const child = sleeper();
      writeFileSync(join(directory, 'cgroup.procs'), String(child.pid));
      writeFileSync(join(directory, 'freezer.state'), 'FROZEN');
      const cgroup = ContainerCgroup.of(child.pid);
      if (cgroup === undefined) throw new Error('no cgroup found');
      await killRemnants(cgroup);
      expect(await child.exited).toMatchObject({ kind: 'signaled', signal: 9 });
    });
  });
});

describe('untilProcessEnds', () => {
  it('resolves when the process ends, and at once for one that is gone', async () => {
    const child = sleeper('exit 0');
    await child.exited;
    await untilProcessEnds(child.pid);
    const other = sleeper();
    const end = untilProcessEnds(other.pid);
    expect(other.status).toBeUndefined();
    other.signal(15);
    await end;
    await other.exited;
  });

  it("rejects with the signal's reason", async () => {
    const child = sleeper();
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(untilProcessEnds(child.pid, { signal })).rejects.toThrow('enough');
    child.signal(9);
    await child.exited;
  });
});
