import { EventEmitter, once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';

import { expect, test } from 'vitest';
import { makeTree } from './fixtures/tree.ts';
import { type OomCounts, OomWatch } from './oom-watch.ts';

// cgroup v1, whose events only the kernel can make, is tested with containers.
const events = (oom: number, kills: number, high = 0) =>
  `low 0\nhigh ${high}\nmax 0\noom ${oom}\noom_kill ${kills}\n`;

test('v2: each change of the counters is told, a change of others is not', async () => {
  const unified = makeTree({ 'memory.events': events(1, 1) });
  const file = join(unified, 'memory.events');
  const changes = new EventEmitter();
  const told: OomCounts[] = [];
  using watch = OomWatch.start({ controllers: new Map(), unified }, (counts) => {
    told.push(counts);
    changes.emit('change');
  });
  expect(watch?.counts).toEqual({ events: 1, kills: 1 });
  writeFileSync(file, events(1, 1, 5));
  const change = once(changes, 'change');
  writeFileSync(file, events(3, 2, 5));
  await change;
  expect(told.at(-1)).toEqual({ events: 3, kills: 2 });
  expect(told).not.toContainEqual({ events: 1, kills: 1 });
  expect(watch?.counts).toEqual({ events: 3, kills: 2 });
});

test('v2: nothing is told once it is closed', async () => {
  const unified = makeTree({ 'memory.events': events(0, 0) });
  const told: OomCounts[] = [];
  const watch = OomWatch.start({ controllers: new Map(), unified }, (counts) => told.push(counts));
  writeFileSync(join(unified, 'memory.events'), events(1, 1));
  watch?.close();
  watch?.close();
  await nextTurn();
  expect(told).toEqual([]);
});

test('there is nothing to watch where memory is not counted, and when the cgroup is gone', () => {
  const unified = makeTree({ 'cgroup.events': 'populated 0\n' });
  const never = (): never => {
    throw new Error('told of nothing');
  };
  expect(OomWatch.start({ controllers: new Map(), unified }, never)).toBeUndefined();
  expect(OomWatch.start({ controllers: new Map(), unified: undefined }, never)).toBeUndefined();
  const legacy = new Map([['memory', join(unified, 'gone')]]);
  expect(OomWatch.start({ controllers: legacy, unified: undefined }, never)).toBeUndefined();
});
