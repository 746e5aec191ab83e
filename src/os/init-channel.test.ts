import { fstatSync } from 'node:fs';
import { expect, test } from 'vitest';
import { InitChannel, underOurInit } from './init-channel.ts';
import { receiveFds, sendFds } from './rights.ts';
import { socketPair } from './socket.ts';

test('one reply for each request, in order', async () => {
  const [ours, inits] = socketPair();
  using channel = new InitChannel(ours);
  using init = inits;
  const replies = Promise.all([channel.request('one'), channel.request('two')]);
  for (const expected of ['one', 'two']) {
    expect((await receiveFds(init)).data.toString()).toBe(expected);
    sendFds(init, Buffer.from(`ok ${expected}`), []);
  }
  expect(await replies).toEqual(['ok one', 'ok two']);
});

test('a request that is too long is not sent, and the next one is', async () => {
  const [ours, inits] = socketPair();
  using channel = new InitChannel(ours);
  using init = inits;
  await expect(channel.request('x'.repeat(257))).rejects.toMatchObject({ code: 'EMSGSIZE' });
  const reply = channel.request('poweroff');
  expect((await receiveFds(init)).data.toString()).toBe('poweroff');
  sendFds(init, Buffer.from('ok'), []);
  expect(await reply).toBe('ok');
});

test('an init that closes the channel fails the request that waits', async () => {
  const [ours, inits] = socketPair();
  using channel = new InitChannel(ours);
  const reply = channel.request('poweroff');
  await receiveFds(inits);
  inits.close();
  await expect(reply).rejects.toMatchObject({ code: 'ECONNRESET' });
});

test('PID 1 is our init only when it is the parent and has given the descriptor', () => {
  expect(underOurInit({ GCS_INIT_FD: '3' }, 1)).toBe(true);
  expect(underOurInit({ GCS_INIT_FD: '3' }, 4711)).toBe(false);
  expect(underOurInit({}, 1)).toBe(false);
});

test('elsewhere the variable is nobody’s and no descriptor is touched', () => {
  const [ours, other] = socketPair();
  using one = ours;
  using two = other;
  const env = { GCS_INIT_FD: `${one.raw}` };
  expect(InitChannel.fromEnvironment(env)).toBeUndefined();
  expect(fstatSync(one.raw).isSocket()).toBe(true);
  expect(two.open).toBe(true);
});
