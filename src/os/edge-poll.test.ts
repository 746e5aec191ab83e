import { expect, it } from 'vitest';
import { readBytes, writeBytes } from './bytes.ts';
import { EdgePoll } from './edge-poll.ts';
import type { Readiness } from './poll.ts';
import { shutdown, socketPair } from './socket.ts';

/** Collects events and lets a test wait for the next one. */
function recorder() {
  const events: Readiness[] = [];
  let wake: () => void = () => {};
  const next = async (condition: (ready: Readiness) => boolean): Promise<Readiness> => {
    for (;;) {
      const found = events.findIndex(condition);
      if (found >= 0) return events.splice(0, found + 1)[found] as Readiness;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const onReady = (ready: Readiness): void => {
    events.push(ready);
    wake();
  };
  return { events, next, onReady };
}

it('tells what a socket is ready for at first, and then each change once', async () => {
  using poll = new EdgePoll();
  const [one, other] = socketPair();
  const { events, next, onReady } = recorder();
  const watched = poll.add(one, onReady);
  expect(await next(() => true)).toEqual({ readable: false, writable: true, hangup: false });
  writeBytes(other, Buffer.from('x'));
  expect((await next(({ readable }) => readable)).hangup).toBe(false);
  // Level-triggered would come again and again: a whole round trip later nothing has.
  const second = socketPair();
  const rest = recorder();
  poll.add(second[0], rest.onReady);
  await rest.next(() => true);
  expect(events).toEqual([]);
  poll.remove(watched);
  for (const fd of [one, other, ...second]) fd.close();
});

it('tells the end of one direction from a hangup', async () => {
  using poll = new EdgePoll();
  const [one, other] = socketPair();
  const { next, onReady } = recorder();
  poll.add(one, onReady);
  await next(() => true);
  shutdown(other, 'write');
  expect((await next(({ readable }) => readable)).hangup).toBe(false);
  expect(readBytes(one, new Uint8Array(1))).toBe(0);
  other.close();
  await next(({ hangup }) => hangup);
  expect(writeBytes(one, new Uint8Array(1))).toBe('gone');
  one.close();
});

it('delivers nothing for a socket that a handler before it has removed', async () => {
  using poll = new EdgePoll();
  const pairs = [socketPair(), socketPair()] as const;
  let calls = 0;
  const watched = pairs.map(([fd], index) =>
    poll.add(fd, () => {
      calls += 1;
      const other = watched[1 - index];
      if (other !== undefined) poll.remove(other);
    }),
  );
  const { next, onReady } = recorder();
  const last = socketPair();
  poll.add(last[0], onReady);
  await next(() => true);
  expect(calls).toBe(1);
  for (const [one, other] of [...pairs, last]) {
    one.close();
    other.close();
  }
});
