import { expect, test, vi } from 'vitest';
import type { ExitStatus } from '../os/process.ts';
import type { StdioReport, StdioSession } from '../stdio/stdio.ts';
import { ExitAnnouncement } from './exit-announcement.ts';
import { GuestProcess } from './guest-process.ts';
import { uvmLimits } from './limits.ts';
import { ProcessTable } from './process-table.ts';

const never = new AbortController().signal;

function fakeProcess(pid = 7) {
  const exit = Promise.withResolvers<ExitStatus>();
  let status: ExitStatus | undefined;
  const signals: number[] = [];
  return {
    pid,
    startTime: 1,
    exited: exit.promise,
    get status() {
      return status;
    },
    signals,
    signal: (signal: number) => status === undefined && signals.push(signal) > 0,
    end(code: number) {
      status = { kind: 'exited', code };
      exit.resolve(status);
    },
    kill(signal: number) {
      status = { kind: 'signaled', signal, coreDumped: false };
      exit.resolve(status);
    },
  };
}

function fakeSession(terminal = false) {
  const drained = Promise.withResolvers<StdioReport>();
  const session: StdioSession & { exitedTold: boolean; sizes: unknown[] } = {
    drained: drained.promise,
    closed: drained.promise,
    exitedTold: false,
    sizes: [],
    processExited() {
      session.exitedTold = true;
    },
    resize: (size) => session.sizes.push(size),
    terminal,
    closeStdin: () => {},
    abort: () => drained.resolve({}),
    snapshot: () => ({}),
  };
  return { session, drain: () => drained.resolve({}) };
}

test('a wait is answered after the exit and the drain, not before', async () => {
  const fake = fakeProcess();
  const { session, drain } = fakeSession();
  const process = new GuestProcess(fake, session);
  let answer: number | undefined;
  const waiting = process.wait(undefined, never).then((code) => {
    answer = code;
  });
  fake.end(3);
  await new Promise(setImmediate);
  expect(session.exitedTold).toBe(true);
  expect(answer).toBeUndefined();
  drain();
  await waiting;
  expect(answer).toBe(3);
});

test('a signal is told as 128 + its number', async () => {
  const fake = fakeProcess();
  const process = new GuestProcess(fake, undefined);
  fake.kill(9);
  expect(await process.wait(undefined, never)).toBe(137);
});

test('a wait that times out or is cancelled does not use up the exit code', async () => {
  const fake = fakeProcess();
  const table = new ProcessTable(() => {});
  const process = new GuestProcess(fake, undefined);
  table.add(process);
  await expect(process.wait(1, never)).rejects.toMatchObject({ code: 'wait-timeout' });
  const cancel = new AbortController();
  const cancelled = process.wait(undefined, cancel.signal);
  cancel.abort();
  await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
  fake.end(5);
  await process.drained;
  expect(table.get(7)).toBe(process);
  expect(await process.wait(undefined, never)).toBe(5);
  expect(table.get(7)).toBeUndefined();
});

test('a timeout longer than a JavaScript timer can hold does not fire at once', async () => {
  const fake = fakeProcess();
  const process = new GuestProcess(fake, undefined);
  const waiting = process.wait(2 ** 32 - 2, never);
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  fake.end(0);
  expect(await waiting).toBe(0);
});

test('every waiter gets the code, and the process is forgotten after the last', async () => {
  const fake = fakeProcess();
  const table = new ProcessTable(() => {});
  const process = new GuestProcess(fake, undefined);
  table.add(process);
  const waits = [1, 2, 3].map(() => process.wait(undefined, never));
  fake.end(1);
  expect(await Promise.all(waits)).toEqual([1, 1, 1]);
  expect(table.size).toBe(0);
});

test('signals after the end are "not found", resizes of a pipe process are refused', async () => {
  const fake = fakeProcess();
  const process = new GuestProcess(fake, fakeSession().session);
  process.signal(15);
  expect(fake.signals).toEqual([15]);
  expect(() => process.resize({ width: 80, height: 24 })).toThrow(
    'pid: 7, is not a tty and cannot be resized',
  );
  fake.end(0);
  expect(() => process.signal(15)).toThrow(expect.objectContaining({ code: 'process-not-found' }));
});

test('streams that are made later are there as soon as they are made', async () => {
  const fake = fakeProcess();
  const { session, drain } = fakeSession(true);
  const later = Promise.withResolvers<StdioSession | undefined>();
  const process = new GuestProcess(fake, later.promise);
  expect(() => process.resize({ width: 1, height: 2 })).toThrow('is not a tty');
  later.resolve(session);
  await later.promise;
  process.resize({ width: 80, height: 24 });
  expect(session.sizes).toEqual([{ width: 80, height: 24 }]);
  fake.end(0);
  drain();
  expect(await process.wait(undefined, never)).toBe(0);
});

test('exited processes nobody waits for are bounded, the oldest is forgotten first', async () => {
  const forgotten: number[] = [];
  const table = new ProcessTable((pid) => forgotten.push(pid));
  for (let pid = 1; pid <= uvmLimits.exitedProcesses + 2; pid++) {
    const fake = fakeProcess(pid);
    const process = new GuestProcess(fake, undefined);
    table.add(process);
    fake.end(0);
    await process.drained;
  }
  await new Promise(setImmediate);
  expect(forgotten).toEqual([1, 2]);
  expect(table.size).toBe(uvmLimits.exitedProcesses);
});

test('a place that was reserved and not used is free again', () => {
  const table = new ProcessTable(() => {});
  for (let i = 0; i < uvmLimits.processesPerTarget + 1; i++) {
    using place = table.reserve();
    expect(place).toBeDefined();
  }
  const held = Array.from({ length: uvmLimits.processesPerTarget }, () => table.reserve());
  expect(() => table.reserve()).toThrow(expect.objectContaining({ code: 'limit' }));
  for (const place of held) place[Symbol.dispose]();
});

test('the exit is announced once, after who waits was answered', async () => {
  const events: string[] = [];
  const fake = fakeProcess();
  const process = new GuestProcess(fake, undefined);
  const announcement = new ExitAnnouncement(process, () => events.push('announced'));
  const waiting = process.wait(undefined, never).then(() => events.push('answered'));
  fake.end(0);
  await waiting;
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  await announcement.afterAnswers();
  expect(events).toEqual(['answered', 'announced']);
});

test('nobody waiting on init: the exit is announced all the same, once', async () => {
  vi.useFakeTimers();
  try {
    const announce = vi.fn();
    const fake = fakeProcess();
    const process = new GuestProcess(fake, undefined);
    new ExitAnnouncement(process, announce);
    fake.end(0);
    await process.drained;
    await vi.advanceTimersByTimeAsync(uvmLimits.notificationGraceMs - 1);
    expect(announce).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(announce).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(10 * uvmLimits.notificationGraceMs);
    expect(announce).toHaveBeenCalledTimes(1);
  } finally {
    vi.useRealTimers();
  }
});
