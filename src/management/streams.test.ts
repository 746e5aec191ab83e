import { text } from 'node:stream/consumers';
import { afterEach, expect, test, vi } from 'vitest';
import { silentLogger } from '../log/logger.ts';
import { socketPair, toDuplex } from '../os/socket.ts';
import { FdConnection } from '../vsock/connection.ts';
import { managementLimits } from './limits.ts';
import { StreamDesk } from './streams.ts';

const never = new AbortController().signal;
const owner = { name: 'a client' };

afterEach(() => vi.useRealTimers());

/** A connection to the port; `host` is its other end. */
function arrival(desk: StreamDesk) {
  const [guest, far] = socketPair();
  const host = toDuplex(far);
  host.on('error', () => {});
  const welcomed = desk.welcome(new FdConnection(guest, 2, 'test'));
  return { host, welcomed };
}

function claim(desk: StreamDesk, token: string, by: object = owner, signal = never) {
  return desk.claim(by, token, 'stream', signal);
}

test('a token joins a connection and a request, whichever comes first, and takes no byte of the stream', async () => {
  using desk = new StreamDesk(silentLogger);
  const [first = '', second = ''] = desk.open(owner, 2);
  const one = arrival(desk);
  one.host.end(`${first}\nthe stream`);
  await one.welcomed;
  expect(await text((await claim(desk, first)).stream())).toBe('the stream');
  const claimed = claim(desk, second);
  const other = arrival(desk);
  for (const character of `${second}\n`) other.host.write(character);
  other.host.end('more');
  expect(await text((await claimed).stream())).toBe('more');
  expect(desk.waiting).toBe(0);
});

test('a token is for one request and one connection', async () => {
  using desk = new StreamDesk(silentLogger);
  const [token = ''] = desk.open(owner, 1);
  const first = arrival(desk);
  first.host.write(`${token}\n`);
  await first.welcomed;
  const second = arrival(desk);
  second.host.write(`${token}\n`);
  expect(await text(second.host)).toBe('');
  (await claim(desk, token)).close();
  await expect(claim(desk, token)).rejects.toMatchObject({ code: 'stream-not-found' });
});

test("another client's token is none", async () => {
  using desk = new StreamDesk(silentLogger);
  const [token = ''] = desk.open(owner, 1);
  await expect(claim(desk, token, {})).rejects.toMatchObject({ code: 'stream-not-found' });
});

test.each([
  ['a token nobody gave out', `${'0'.repeat(32)}\n`],
  ['no hexadecimal digits', `${'z'.repeat(32)}\n`],
  ['a longer line', `${'0'.repeat(40)}\n`],
  ['garbage', Buffer.alloc(100, 255)],
])('a connection with %s is closed', async (_name, bytes) => {
  using desk = new StreamDesk(silentLogger);
  const { host } = arrival(desk);
  // With bytes left that nobody read, the end is a reset.
  const closed = new Promise((resolve) => host.once('close', resolve));
  host.write(bytes);
  host.resume().on('end', () => host.end());
  await closed;
});

test('one that ends within its token is closed, and one that says nothing when its time is up', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  using desk = new StreamDesk(silentLogger);
  const short = arrival(desk);
  short.host.end('0123');
  await short.welcomed;
  const silent = arrival(desk);
  vi.advanceTimersByTime(managementLimits.streamHandshakeMs);
  await silent.welcomed;
  expect(await text(silent.host)).toBe('');
});

test('beyond the bound the connection that has been silent longest is dropped', async () => {
  using desk = new StreamDesk(silentLogger);
  const all = Array.from({ length: managementLimits.streamHandshakes + 1 }, () => arrival(desk));
  await all[0]?.welcomed;
  const [token = ''] = desk.open(owner, 1);
  const last = all.at(-1);
  last?.host.write(`${token}\n`);
  (await claim(desk, token)).close();
  for (const { host } of all) host.destroy();
  await Promise.all(all.map(({ welcomed }) => welcomed));
});

test('a token nobody uses in time is forgotten, with its connection', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  using desk = new StreamDesk(silentLogger);
  const [unused = '', parked = ''] = desk.open(owner, 2);
  const { host, welcomed } = arrival(desk);
  host.write(`${parked}\n`);
  await welcomed;
  const waiting = claim(desk, unused);
  vi.advanceTimersByTime(managementLimits.streamTokenMs);
  await expect(waiting).rejects.toMatchObject({ code: 'stream-not-found' });
  expect(await text(host)).toBe('');
  expect(desk.waiting).toBe(0);
});

test('a client has so many tokens; when it goes, they and their connections go', async () => {
  using desk = new StreamDesk(silentLogger);
  const [token = ''] = desk.open(owner, managementLimits.streamTokens);
  expect(() => desk.open(owner, 1)).toThrow('more than 64 streams');
  desk.open({}, 1);
  const { host, welcomed } = arrival(desk);
  host.write(`${token}\n`);
  await welcomed;
  desk.release(owner);
  expect(await text(host)).toBe('');
  expect(desk.waiting).toBe(1);
});

test('a request that is given up leaves no connection', async () => {
  using desk = new StreamDesk(silentLogger);
  const [token = ''] = desk.open(owner, 1);
  const end = new AbortController();
  const waiting = claim(desk, token, owner, end.signal);
  end.abort(new Error('given up'));
  await expect(waiting).rejects.toThrow('given up');
  const { host } = arrival(desk);
  host.write(`${token}\n`);
  expect(await text(host)).toBe('');
});
