import { expect, test } from 'vitest';
import { Lifecycle } from './lifecycle.ts';
import type { LifecycleEvent } from './management-types.ts';

function filled(count: number, size: number): Lifecycle {
  const lifecycle = new Lifecycle(size);
  for (let n = 1; n <= count; n++) lifecycle.emit({ kind: 'create', containerId: `c${n}` });
  return lifecycle;
}

function numbers(lifecycle: Lifecycle, sequence: number, epoch = lifecycle.epoch) {
  const seen: number[] = [];
  const subscription = lifecycle.subscribe({ epoch, sequence }, (event) =>
    seen.push(event.sequence),
  );
  return { seen, subscription };
}

test('events have numbers from 1 without a hole, and a time', () => {
  const lifecycle = new Lifecycle(8);
  const seen: LifecycleEvent[] = [];
  lifecycle.subscribe(undefined, (event) => seen.push(event));
  lifecycle.emit({ kind: 'create', containerId: 'a', pid: 7 });
  lifecycle.emit({ kind: 'delete', containerId: 'a' });
  expect(seen).toEqual([
    { sequence: 1, kind: 'create', containerId: 'a', pid: 7, at: expect.any(Number) },
    { sequence: 2, kind: 'delete', containerId: 'a', at: expect.any(Number) },
  ]);
  expect([...lifecycle.counts]).toEqual([
    ['create', 1],
    ['delete', 1],
  ]);
});

test('a client that comes back gets what it has missed, then what happens, each once', () => {
  const lifecycle = filled(5, 8);
  const { seen, subscription } = numbers(lifecycle, 3);
  expect(subscription).toMatchObject({ next: 3, gap: undefined });
  expect(seen).toEqual([3, 4, 5]);
  lifecycle.emit({ kind: 'start', containerId: 'c1' });
  expect(seen).toEqual([3, 4, 5, 6]);
  subscription[Symbol.dispose]();
  lifecycle.emit({ kind: 'exit', containerId: 'c1' });
  expect(seen).toEqual([3, 4, 5, 6]);
});

test('one that comes too late is told what it cannot have any more', () => {
  const { seen, subscription } = numbers(filled(20, 8), 5);
  expect(subscription).toMatchObject({ next: 13, gap: { from: 5, to: 12 } });
  expect(seen).toEqual([13, 14, 15, 16, 17, 18, 19, 20]);
});

test('numbers of another agent are said to be so, and everything kept is delivered', () => {
  const { seen, subscription } = numbers(filled(3, 8), 77, 'another');
  expect(subscription).toMatchObject({ next: 1, gap: 'other-epoch' });
  expect(seen).toEqual([1, 2, 3]);
});

test('a number that has not been yet means from now on', () => {
  const lifecycle = filled(3, 8);
  const { seen, subscription } = numbers(lifecycle, 50);
  expect(subscription).toMatchObject({ next: 4, gap: undefined });
  lifecycle.emit({ kind: 'start', containerId: 'c1' });
  expect(seen).toEqual([4]);
});

test('a receiver that unsubscribes while it is told keeps nobody else from being told', () => {
  const lifecycle = new Lifecycle(8);
  const seen: string[] = [];
  const first = lifecycle.subscribe(undefined, () => {
    seen.push('first');
    first[Symbol.dispose]();
  });
  lifecycle.subscribe(undefined, () => seen.push('second'));
  lifecycle.emit({ kind: 'create', containerId: 'a' });
  lifecycle.emit({ kind: 'delete', containerId: 'a' });
  expect(seen).toEqual(['first', 'second', 'second']);
});

test('a receiver that fails keeps nobody else from being told, and its fault is told', async () => {
  const lifecycle = new Lifecycle(8);
  const seen: number[] = [];
  const faults: unknown[] = [];
  const told = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => faults.push(error));
  try {
    lifecycle.subscribe(undefined, () => {
      throw new Error('mine');
    });
    lifecycle.subscribe(undefined, (event) => seen.push(event.sequence));
    lifecycle.emit({ kind: 'create', containerId: 'a' });
    await new Promise(setImmediate);
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of told) process.on('uncaughtException', listener);
  }
  expect(seen).toEqual([1]);
  expect(faults).toEqual([expect.objectContaining({ message: 'mine' })]);
});

test('times of execs are counted in buckets that hold those below them', () => {
  const lifecycle = new Lifecycle(8);
  for (const seconds of [0.004, 0.02, 0.02, 100]) lifecycle.execTimes.observe(seconds);
  const { buckets, count, sum } = lifecycle.execTimes.snapshot();
  expect(count).toBe(4);
  expect(sum).toBeCloseTo(100.044);
  expect(buckets[0]).toEqual({ le: 0.005, count: 1 });
  expect(buckets.find(({ le }) => le === 0.025)?.count).toBe(3);
  expect(buckets.at(-1)).toEqual({ le: Number.POSITIVE_INFINITY, count: 4 });
});
