import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { type Logger, silentLogger } from '../log/logger.ts';
import { locateCgroup } from './hierarchy.ts';
import { MachineMemory } from './machine-memory.ts';
import { cgroupAt, makeCgroup } from './make.ts';

const MIB = 1024 * 1024;
const TOP = `/gcs-test-memory-${process.pid}`;
const PODS = `${TOP}/pods`;
const AGENT = `${TOP}/gcs`;

/** Tests run where they can touch nobody else's: v2 shares its one hierarchy with whatever runs there. */
const root = cgroupAt('/').controllers.get('memory');
const home = locateCgroup(process.pid)?.controllers.get('memory');
const here = root !== undefined && home !== undefined && process.getuid?.() === 0;

/** Controllers that v1 left to v2, as far as anybody uses them: who does keeps crun from making containers. */
function usedByV2(): string | undefined {
  const { unified } = cgroupAt('/');
  return unified && readFileSync(`${unified}/cgroup.subtree_control`, 'utf8');
}
const before = usedByV2();

function place(path: string): string {
  return `${cgroupAt(path).controllers.get('memory')}`;
}

function limitOf(path: string): number {
  return Number(readFileSync(`${place(path)}/memory.limit_in_bytes`, 'utf8'));
}

function processesIn(path: string): number[] {
  return readFileSync(`${place(path)}/cgroup.procs`, 'utf8')
    .trim()
    .split('\n')
    .map(Number);
}

afterEach(() => {
  if (!here) return;
  writeFileSync(`${home}/cgroup.procs`, `${process.pid}`);
  for (const path of [PODS, AGENT, TOP]) {
    const { controllers, unified } = cgroupAt(path);
    for (const directory of new Set([...controllers.values(), unified])) {
      if (directory !== undefined && existsSync(directory)) rmdirSync(directory);
    }
  }
  expect(usedByV2()).toBe(before);
});

/** As an agent starts it; `seen` gets the limit of the pods as it is when the machine's memory is looked at. */
function startAgent(total: number, seen: number[], log: Logger = silentLogger) {
  return MachineMemory.start({
    reserveBytes: 16 * MIB,
    agentBytes: 512 * MIB,
    log,
    cgroups: { pods: PODS, agent: AGENT },
    watchDevices: () => ({ [Symbol.dispose]: () => {} }),
    total: () => {
      seen.push(limitOf(PODS));
      return total;
    },
  });
}

test.runIf(here)(
  'an agent after another finds the limit of the pods as it was, and goes on',
  async () => {
    const seen: number[] = [];
    const said: string[] = [];
    const log: Logger = {
      ...silentLogger,
      warning: (text) => said.push(text),
      error: (text) => said.push(text),
    };
    // The one before was killed: nothing of it was undone, its watches went with it.
    using _before = await startAgent(80 * MIB, [], log);
    expect(limitOf(PODS)).toBe(64 * MIB);
    using _after = await startAgent(80 * MIB, seen, log);
    expect(new Set(seen)).toEqual(new Set([64 * MIB]));
    expect(limitOf(PODS)).toBe(64 * MIB);
    expect(processesIn(AGENT)).toEqual([process.pid]);
    expect(said).toEqual([]);
  },
);

test.runIf(here)('memory that came while no agent ran is given to the pods', async () => {
  using _before = await startAgent(80 * MIB, []);
  using after = await startAgent(112 * MIB, []);
  expect([after.limit, limitOf(PODS)]).toEqual([96 * MIB, 96 * MIB]);
});

test.runIf(here)(
  'a limit that the kernel refuses leaves the one there was, and all else goes on',
  async () => {
    const said: string[] = [];
    const log: Logger = { ...silentLogger, error: (text) => said.push(text) };
    using _before = await startAgent(80 * MIB, []);
    // What fills a file system in memory cannot be taken back.
    const ballast = `/dev/shm${PODS.replaceAll('/', '-')}`;
    onTestFinished(() => rmSync(ballast, { force: true }));
    const fill = `echo $$ >${place(PODS)}/cgroup.procs && dd if=/dev/zero of=${ballast} bs=1M count=40`;
    execFileSync('sh', ['-c', fill], { stdio: 'ignore' });
    using after = await startAgent(36 * MIB, [], log);
    expect(said).toEqual(['memory for pods is not what it should be']);
    expect([after.limit, limitOf(PODS)]).toEqual([undefined, 64 * MIB]);
    rmSync(ballast);
    after.refresh();
    expect([after.limit, limitOf(PODS)]).toEqual([20 * MIB, 20 * MIB]);
  },
);

test.runIf(here)('a cgroup that is there keeps the limits nobody asks to change', async () => {
  const options = { inner: true, log: silentLogger } as const;
  await makeCgroup(PODS, { memory: { limit: 32 * MIB } }, options);
  await makeCgroup(PODS, {}, { ...options, controllers: ['memory'] });
  expect(limitOf(PODS)).toBe(32 * MIB);
});
