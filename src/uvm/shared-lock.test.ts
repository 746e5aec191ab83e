import { expect, test } from 'vitest';
import { SharedLock } from './shared-lock.ts';

function gate() {
  return Promise.withResolvers<void>();
}

test('shared operations run beside each other', async () => {
  const lock = new SharedLock();
  const first = gate();
  const second = gate();
  const a = lock.shared(async () => {
    second.resolve();
    await first.promise;
  });
  const b = lock.shared(async () => {
    await second.promise;
    first.resolve();
  });
  await Promise.all([a, b]);
});

test('an exclusive operation waits for those before it and holds up those after it', async () => {
  const lock = new SharedLock();
  const order: string[] = [];
  const open = gate();
  const before = lock.shared(async () => {
    await open.promise;
    order.push('shared before');
  });
  const alone = lock.exclusive(async () => {
    order.push('exclusive');
  });
  const after = lock.shared(async () => {
    order.push('shared after');
  });
  await new Promise(setImmediate);
  expect(order).toEqual([]);
  open.resolve();
  await Promise.all([before, alone, after]);
  expect(order).toEqual(['shared before', 'exclusive', 'shared after']);
});

test('an operation that fails lets the next one in', async () => {
  const lock = new SharedLock();
  const failing = lock.exclusive(async () => {
    throw new Error('no');
  });
  const next = lock.exclusive(async () => 'ran');
  await expect(failing).rejects.toThrow('no');
  expect(await next).toBe('ran');
});
