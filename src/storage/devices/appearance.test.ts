import { expect, test, vi } from 'vitest';
import { untilSucceeds, type WatchDevices } from './appearance.ts';

/** Changes of devices, told by the test. */
function fakeWatch() {
  const listeners = new Set<() => void>();
  const watch: WatchDevices = (onChange) => {
    listeners.add(onChange);
    return { [Symbol.dispose]: () => void listeners.delete(onChange) };
  };
  const change = (): void => {
    for (const listener of listeners) listener();
  };
  return { watch, change, listeners };
}

test('what succeeds at once waits for nothing and watches no more', async () => {
  const { watch, listeners } = fakeWatch();
  expect(await untilSucceeds('x', async () => 1, watch)).toBe(1);
  expect(listeners.size).toBe(0);
});

test('it is tried again after each change, also one that comes during a try', async () => {
  const { watch, change, listeners } = fakeWatch();
  let tries = 0;
  const result = untilSucceeds(
    'x',
    async () => {
      tries += 1;
      if (tries === 1) change();
      return tries === 3 ? 'there' : undefined;
    },
    watch,
  );
  await vi.waitUntil(() => tries === 2);
  change();
  expect(await result).toBe('there');
  expect(tries).toBe(3);
  expect(listeners.size).toBe(0);
});

test('an error ends the wait, and so does the bound, by name', async () => {
  const { watch, listeners } = fakeWatch();
  const fails = async (): Promise<undefined> => {
    throw new Error('no right');
  };
  await expect(untilSucceeds('x', fails, watch)).rejects.toThrow('no right');
  const never = untilSucceeds('the device', async () => undefined, watch, 5);
  await expect(never).rejects.toThrow('the device did not appear within 5 ms');
  expect(listeners.size).toBe(0);
});
