import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Uevents } from './uevents.ts';

/** The kernel announces /dev/null again; nothing changes by it. */
function provoke(): void {
  writeFileSync('/sys/class/mem/null/uevent', 'change');
}

test('what the kernel announces is told', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _events = new Uevents(resolve);
  provoke();
  await promise;
});

test('after it is closed nothing is told', async () => {
  let told = 0;
  const closed = new Uevents(() => told++);
  closed[Symbol.dispose]();
  const { promise, resolve } = Promise.withResolvers<void>();
  using _events = new Uevents(resolve);
  provoke();
  await promise;
  expect(told).toBe(0);
});
