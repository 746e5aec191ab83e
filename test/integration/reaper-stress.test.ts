import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { StressFindings } from '../support/reaper-stress.ts';

const script = join(import.meta.dirname, '../support/reaper-stress.ts');

/** A lost child shows as a process that never ends: it is killed then, with all it started. */
const TIME_LIMIT_MS = 110_000;

async function storm(prefix: readonly string[], rounds: number): Promise<StressFindings> {
  const command = [...prefix, process.execPath, script, `${rounds}`];
  const [file = '', ...args] = command;
  const { stdout } = await promisify(execFile)(file, args, {
    timeout: TIME_LIMIT_MS,
    killSignal: 'SIGKILL',
  });
  return JSON.parse(stdout) as StressFindings;
}

function judge(findings: StressFindings, rounds: number): void {
  const { counts, ...rest } = findings;
  expect(rest).toEqual({
    pid: findings.pid,
    wrong: [],
    orphansExpected: findings.orphansExpected,
    orphansCollected: findings.orphansExpected,
    zombies: 0,
    watched: 0,
    descriptorsLeft: 0,
  });
  for (const kind of [
    'own spawn',
    'own spawn, killed',
    'libuv spawn',
    'libuv spawn, killed',
    'libuv execFile',
    'adopted daemon',
    'unknown orphans',
    'spawn in a worker thread',
  ]) {
    expect(counts[kind], kind).toBeGreaterThanOrEqual(rounds);
  }
}

test(
  'of thousands of children of all kinds none is lost, none stolen and no zombie left',
  async () => {
    judge(await storm([], 150), 150);
  },
  TIME_LIMIT_MS + 10_000,
);

test(
  'the same as PID 1 of a pid namespace',
  async () => {
    const prefix = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const findings = await storm(prefix, 40);
    expect(findings.pid).toBe(1);
    judge(findings, 40);
  },
  TIME_LIMIT_MS + 10_000,
);
