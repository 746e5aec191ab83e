import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exitCodeOf, processCommandLine, processStartTime, processState } from './process.ts';
import { Reaper } from './reaper.ts';

let reaper: Reaper;
beforeAll(() => {
  reaper = Reaper.start();
});
afterAll(() => {
  reaper[Symbol.dispose]();
});

describe('facts about processes', () => {
  test('are undefined for a process that is gone', () => {
    const { pid } = spawnSync('true');
    expect(processStartTime(pid)).toBeUndefined();
    expect(processCommandLine(pid)).toBeUndefined();
    expect(processState(pid)).toBeUndefined();
  });

  test('survive a program name with spaces and parentheses', async () => {
    const child = reaper.spawn({
      file: 'sh',
      args: ['sh', '-c', 'printf ") R 1" > /proc/self/comm; kill -STOP $$; exit 3'],
      env: ['PATH=/usr/bin:/bin'],
      stdio: [null, null, 2],
    });
    await untilState(child.pid, 'T');
    expect(processStartTime(child.pid)).toBe(child.startTime);
    expect(child.startTime).toBeGreaterThan(0);
    child.signal(18);
    expect(await child.exited).toEqual({ kind: 'exited', code: 3 });
  });

  test('the command line keeps empty arguments and is empty for a zombie', async () => {
    using _hold = reaper.hold();
    const child = reaper.spawn({
      file: 'sh',
      args: ['sh', '-c', 'kill -STOP $$', '', 'a b', ''],
      env: ['PATH=/usr/bin:/bin'],
      stdio: [null, null, 2],
    });
    await untilState(child.pid, 'T');
    expect(processCommandLine(child.pid)).toEqual(['sh', '-c', 'kill -STOP $$', '', 'a b', '']);
    child.signal(9);
    // Nothing of this thread's loop runs in between, so it stays a zombie while we look.
    while (processState(child.pid) !== 'Z');
    expect(processCommandLine(child.pid)).toEqual([]);
    await child.exited;
  });
});

/** Waits for a state by reading it at every turn of the loop: the kernel tells nobody but the parent, and that is by a stop signal. */
async function untilState(pid: number, state: string): Promise<void> {
  while (processState(pid) !== state) await new Promise((resolve) => setImmediate(resolve));
}

test('the exit code of the protocol is 128 + signal for a signal', () => {
  expect(exitCodeOf({ kind: 'exited', code: 255 })).toBe(255);
  expect(exitCodeOf({ kind: 'signaled', signal: 9, coreDumped: false })).toBe(137);
});
