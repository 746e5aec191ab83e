import { expect, test, vi } from 'vitest';
import type { Container } from '../container.ts';
import { operationLimits } from './limits.ts';
import { Stop } from './stop.ts';

/** A container whose processes hang in the kernel. */
function stuck(): { container: Container; signals: number[] } {
  const signals: number[] = [];
  const init = {
    pid: 7,
    running: true,
    exited: new Promise(() => {}),
    kill: () => signals.push(9),
  };
  const container = {
    id: 'c',
    status: 'running',
    init,
    runtime: { cgroup: undefined },
    signal: (_pid: number, signal: number) => signals.push(signal),
    noteKill: () => {},
  };
  return { container: container as unknown as Container, signals };
}

test('a container that outlives SIGKILL is waited for so long, and no longer', async () => {
  vi.useFakeTimers();
  try {
    const { container, signals } = stuck();
    const stop = new Stop(container, 15, operationLimits.stopTimeoutMs);
    const outcome = stop.done.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(operationLimits.stopTimeoutMs - 1);
    expect(signals).toEqual([15]);
    await vi.advanceTimersByTimeAsync(1);
    expect(signals).toEqual([15, 9]);
    let over = false;
    void outcome.then(() => {
      over = true;
    });
    await vi.advanceTimersByTimeAsync(operationLimits.killWaitMs - 1);
    expect(over).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await outcome).toMatchObject({
      code: 'failed',
      message: 'container c has outlived SIGKILL for 120 s',
    });
  } finally {
    vi.useRealTimers();
  }
});

test('the shortest time of those who ask counts, from when it was asked', async () => {
  vi.useFakeTimers();
  try {
    const { container, signals } = stuck();
    const stop = new Stop(container, 15, 10_000);
    stop.done.catch(() => {});
    await vi.advanceTimersByTimeAsync(1_000);
    stop.join(500);
    stop.join(60_000);
    await vi.advanceTimersByTimeAsync(499);
    expect(signals).toEqual([15]);
    await vi.advanceTimersByTimeAsync(1);
    expect(signals).toEqual([15, 9]);
  } finally {
    vi.useRealTimers();
  }
});
