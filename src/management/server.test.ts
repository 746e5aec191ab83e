import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ManagementRequestError } from '../client/management/index.ts';
import { AgentError } from '../errors.ts';
import { RuntimeError } from '../runtime/runtime.ts';
import { managementLimits } from './limits.ts';
import { bodiesIn, DoorLab, FakeEvents, message, request, stateOf } from './testing/door-lab.ts';

const HELLO = request(0, 'initialize', { protocolVersion: 1 });

/** A wait that ends only when it is given up, and what became of it. */
function openWaits() {
  const ended: unknown[] = [];
  let open = 0;
  return {
    ended,
    get open() {
      return open;
    },
    wait: (_id: string, options: { signal?: AbortSignal } = {}) => {
      open += 1;
      const { promise, reject } = Promise.withResolvers<never>();
      options.signal?.addEventListener('abort', () => {
        open -= 1;
        ended.push(options.signal?.reason);
        reject(options.signal?.reason);
      });
      return promise;
    },
  };
}

async function errorOf(call: Promise<unknown>): Promise<ManagementRequestError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof ManagementRequestError) return error;
  throw new Error(`no refusal: ${String(error)}`);
}

/** Sends bytes and reads until the agent closes. */
async function exchange(
  stream: Duplex,
  bytes: string | Buffer,
): Promise<Record<string, unknown>[]> {
  stream.write(bytes);
  return bodiesIn(await text(stream));
}

/** Reads until so many messages are there. */
async function answers(stream: Duplex, count: number): Promise<Record<string, unknown>[]> {
  let seen = '';
  stream.setEncoding('utf8');
  while ((seen.match(/Content-Length/g) ?? []).length < count || !seen.endsWith('}')) {
    const [chunk] = (await once(stream, 'data')) as [string];
    seen += chunk;
  }
  return bodiesIn(seen);
}

/** Resolves when it holds; looks again after each turn of the event loop. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate);
}

describe('a client', () => {
  test('is told versions, capabilities and limits first', async () => {
    await using lab = await DoorLab.open();
    await using client = await lab.connect();
    expect(client.server).toMatchObject({
      protocolVersion: 1,
      epoch: 'epoch-1',
      limits: { clients: managementLimits.clients },
    });
  });

  test('of another version, or that asks before, is refused', async () => {
    await using lab = await DoorLab.open();
    const stream = await lab.raw();
    stream.write(
      request(1, 'container.list') +
        request(2, 'initialize', { protocolVersion: 9 }) +
        HELLO +
        HELLO.replace('"id":0', '"id":3'),
    );
    const codes = (await answers(stream, 4)).map(({ id, error }) => [
      id,
      (error as { data?: { code: string } } | undefined)?.data?.code,
    ]);
    expect(codes).toEqual(
      expect.arrayContaining([
        [1, 'not-initialized'],
        [2, 'not-supported'],
        [0, undefined],
        [3, 'invalid-request'],
      ]),
    );
    stream.destroy();
  });

  test('has errors with their code, field, container and the words of the runtime', async () => {
    const cause = new RuntimeError('other', 'runc create failed: no such root', {
      operation: 'create',
      runtimeMessage: 'no such root',
    });
    await using lab = await DoorLab.open({
      create: async () => {
        throw new AgentError('failed', 'create failed', { containerId: 'a', cause });
      },
      state: async () => {
        throw new TypeError('a fault');
      },
    });
    await using client = await lab.connect();
    const failed = await errorOf(client.call('container.create', { id: 'a' }));
    expect(failed.data).toEqual({
      code: 'failed',
      containerId: 'a',
      runtimeMessage: 'no such root',
    });
    expect((await errorOf(client.call('container.state', { id: 'a' }))).code).toBe('internal');
    const wrong = client.call('container.stop', { id: 'a', timeoutMs: 1.5 });
    expect((await errorOf(wrong)).data).toEqual({ code: 'invalid-argument', field: 'timeoutMs' });
  });

  test('may give a request up, and the operation knows', async () => {
    const waits = openWaits();
    await using lab = await DoorLab.open(waits);
    await using client = await lab.connect();
    const stop = new AbortController();
    const waiting = client.call('container.wait', { id: 'a' }, { signal: stop.signal });
    await until(() => waits.open === 1);
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await until(() => waits.open === 0);
    expect(waits.ended[0]).toMatchObject({ code: 'cancelled' });
  });

  test('gets 64-bit integers digit for digit, both ways', async () => {
    let seen: unknown;
    await using lab = await DoorLab.open({
      update: async (_id, resources) => {
        seen = resources;
      },
      state: async () => ({ ...stateOf('a'), startTime: (2n ** 63n) as unknown as number }),
    });
    await using client = await lab.connect();
    await client.call('container.update', { id: 'a', resources: { limit: 2n ** 64n - 1n } });
    expect(seen).toEqual({ limit: 2n ** 64n - 1n });
    expect((await client.call('container.state', { id: 'a' })).startTime).toBe(2n ** 63n);
  });

  test('that is one of many is served beside the others', async () => {
    await using lab = await DoorLab.open({ list: async () => [stateOf('a')] });
    const clients = await Promise.all(Array.from({ length: 20 }, () => lab.connect()));
    const lists = await Promise.all(clients.map((client) => client.call('container.list', {})));
    expect(lists.every(({ containers }) => containers[0]?.id === 'a')).toBe(true);
    expect(lab.server.clients).toBe(20);
    for (const client of clients) client.close();
    await until(() => lab.server.clients === 0);
  });
});

describe('a client that goes away', () => {
  test('in the middle of its requests has them given up', async () => {
    const waits = openWaits();
    await using lab = await DoorLab.open(waits);
    const client = await lab.connect();
    for (let n = 0; n < 10; n += 1) client.call('container.wait', { id: 'a' }).catch(() => {});
    await until(() => waits.open === 10);
    client.close();
    await until(() => waits.open === 0);
    expect(lab.server.clients).toBe(0);
  });

  test('in the middle of a message leaves nothing', async () => {
    await using lab = await DoorLab.open();
    const stream = await lab.raw();
    stream.write(HELLO + request(1, 'container.list').slice(0, -5));
    await once(stream, 'data');
    stream.destroy();
    await until(() => lab.server.clients === 0);
  });
});

describe('a hostile client', () => {
  test.each([
    ['garbage', Buffer.from([0, 1, 2, 255, 13, 10, 13, 10])],
    ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['a header that never ends', 'x'.repeat(2000)],
    ['a message beyond the bound', `Content-Length: ${managementLimits.requestBytes + 1}\r\n\r\n`],
  ])('with %s is told and dropped; the others are not touched', async (_name, bytes) => {
    await using lab = await DoorLab.open({ list: async () => [] });
    await using other = await lab.connect();
    const told = await exchange(await lab.raw(), bytes);
    expect(told).toMatchObject([{ id: null, error: { data: { code: 'invalid-request' } } }]);
    await other.call('container.list', {});
    await until(() => lab.server.clients === 1);
  });

  test.each([
    ['no JSON', 'Content-Length: 3\r\n\r\n{,}', 'parse-error', null],
    ['no UTF-8', Buffer.from('Content-Length: 2\r\n\r\n\xff\xff', 'latin1'), 'parse-error', null],
    [
      'a bomb of brackets',
      `Content-Length: 20000\r\n\r\n${'['.repeat(20_000)}`,
      'parse-error',
      null,
    ],
    ['a batch', message([]), 'invalid-request', null],
    ['no version', message({ id: 1, method: 'x' }), 'invalid-request', 1],
    ['no method', message({ jsonrpc: '2.0', id: 1 }), 'invalid-request', 1],
    ['an id that is null', request(null, 'initialize', {}), 'invalid-request', null],
    ['an id that is an object', request({}, 'initialize', {}), 'invalid-request', null],
    ['parameters by position', request(1, 'initialize', [1]), 'invalid-argument', 1],
    ['an unknown method', request(1, 'toString', {}), 'method-not-found', 1],
  ])('that sends %s is answered and goes on', async (_name, bytes, code, id) => {
    await using lab = await DoorLab.open();
    const stream = await lab.raw();
    stream.write(bytes);
    expect(await answers(stream, 1)).toMatchObject([{ id, error: { data: { code } } }]);
    stream.write(HELLO);
    expect(await answers(stream, 1)).toMatchObject([{ id: 0, result: { protocolVersion: 1 } }]);
    stream.destroy();
  });

  test('may send notifications, answers and cancellations nobody asked for', async () => {
    await using lab = await DoorLab.open();
    const stream = await lab.raw();
    const noise = [
      { jsonrpc: '2.0', method: '$/cancelRequest' },
      { jsonrpc: '2.0', method: '$/cancelRequest', params: { id: 77 } },
      { jsonrpc: '2.0', method: '$/cancelRequest', params: { id: null } },
      { jsonrpc: '2.0', method: '$/progress', params: {} },
      { jsonrpc: '2.0', method: 'event', params: { token: 1 } },
      { jsonrpc: '2.0', id: 5, result: 1 },
      { jsonrpc: '2.0', id: 5, error: {} },
    ];
    stream.write(noise.map(message).join('') + HELLO);
    expect(await answers(stream, 1)).toMatchObject([{ id: 0, result: {} }]);
    stream.destroy();
  });

  test('may not use an id again before it is answered', async () => {
    const waits = openWaits();
    await using lab = await DoorLab.open(waits);
    const stream = await lab.raw();
    stream.write(HELLO);
    await answers(stream, 1);
    const wait = request(1, 'container.wait', { id: 'a' });
    stream.write(wait + wait + request('1', 'container.wait', { id: 'a' }));
    const told = await answers(stream, 2);
    expect(told.map(({ error }) => (error as { data: object }).data)).toEqual([
      { code: 'invalid-request' },
      { code: 'invalid-request' },
    ]);
    await until(() => waits.open === 1);
    stream.write(message({ jsonrpc: '2.0', method: '$/cancelRequest', params: { id: 1 } }));
    expect(await answers(stream, 1)).toMatchObject([
      { id: 1, error: { data: { code: 'cancelled' } } },
    ]);
    stream.destroy();
  });

  test('has so many requests unanswered and not one more', async () => {
    const waits = openWaits();
    await using lab = await DoorLab.open(waits);
    const stream = await lab.raw();
    stream.write(HELLO);
    await answers(stream, 1);
    const { pendingRequests } = managementLimits;
    let flood = '';
    for (let id = 1; id <= pendingRequests + 50; id += 1) {
      flood += request(id, 'container.wait', { id: 'a' });
    }
    stream.write(flood);
    const refused = await answers(stream, 50);
    expect(refused).toHaveLength(50);
    expect(refused).toMatchObject(refused.map(() => ({ error: { data: { code: 'limit' } } })));
    await until(() => waits.open === pendingRequests);
    stream.destroy();
    await until(() => waits.open === 0);
  });

  test('that does not read is read no more, and harms nobody', async () => {
    let asked = 0;
    const long = { ...stateOf('a'), annotations: { text: 'x'.repeat(100_000) } };
    await using lab = await DoorLab.open({
      list: async () => [],
      state: async () => {
        asked += 1;
        return long;
      },
    });
    await using other = await lab.connect();
    const stream = await lab.raw();
    stream.pause();
    stream.write(HELLO);
    let sent = 0;
    // What the kernel takes on the way is not bounded by us; 200 requests are 20 MB of answers.
    for (let id = 1; id <= 200; id += 1) {
      stream.write(request(id, 'container.state', { id: 'a' }));
      sent += 1;
      await other.call('container.list', {});
    }
    expect(asked).toBeLessThan(sent);
    stream.resume();
    await until(() => asked === sent);
    stream.destroy();
  });

  test('that does not read what it asked for meanwhile is dropped beyond the bound', async () => {
    const gate = Promise.withResolvers<void>();
    const { pendingRequests, abandonedBytes } = managementLimits;
    // So that all of them together are beyond it, and half of them are not.
    const long = 'x'.repeat(Math.ceil((1.2 * abandonedBytes) / pendingRequests));
    let asked = 0;
    await using lab = await DoorLab.open({
      list: async () => [],
      state: async () => {
        asked += 1;
        await gate.promise;
        return { ...stateOf('a'), annotations: { text: long } };
      },
    });
    await using other = await lab.connect();
    const stream = await lab.raw();
    stream.write(HELLO);
    await answers(stream, 1);
    stream.pause();
    for (let id = 1; id <= pendingRequests; id += 1) {
      stream.write(request(id, 'container.state', { id: 'a' }));
    }
    await until(() => asked === pendingRequests);
    gate.resolve();
    await until(() => lab.server.clients === 1);
    await other.call('container.list', {});
    stream.destroy();
  });

  describe('that has ended before it has read its answers', () => {
    const COUNT = 8;
    const HALF = managementLimits.unreadBytes / 2;
    afterEach(() => void vi.useRealTimers());

    const long = { ...stateOf('a'), annotations: { text: 'x'.repeat(HALF / COUNT) } };
    const open = (): Promise<DoorLab> =>
      DoorLab.open({ list: async () => [], state: async () => long });

    /** More than the kernel holds, and less than makes the agent stop to read. */
    async function endedUnread(lab: DoorLab): Promise<Duplex> {
      await using other = await lab.connect();
      const stream = await lab.raw();
      stream.write(HELLO);
      await answers(stream, 1);
      stream.pause();
      for (let id = 1; id <= COUNT; id += 1) {
        stream.write(request(id, 'container.state', { id: 'a' }));
        await other.call('container.list', {});
      }
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      stream.end();
      await until(() => lab.server.clients === 1);
      return stream;
    }

    test('has a while to do so', async () => {
      await using lab = await open();
      const stream = await endedUnread(lab);
      vi.advanceTimersByTime(managementLimits.lingerMs - 1);
      expect((await text(stream)).length).toBeGreaterThan(HALF);
    });

    test('is closed after that', async () => {
      await using lab = await open();
      const stream = await endedUnread(lab);
      vi.advanceTimersByTime(managementLimits.lingerMs);
      expect((await text(stream)).length).toBeLessThan(HALF);
    });
  });

  test('that says nothing makes room for one who does, once all places are taken', async () => {
    await using lab = await DoorLab.open({ list: async () => [] });
    const { clients } = managementLimits;
    const silent = await Promise.all(Array.from({ length: clients }, () => lab.raw()));
    await until(() => lab.server.clients === clients);
    await using client = await lab.connect();
    await client.call('container.list', {});
    expect(lab.server.clients).toBe(clients);
    for (const stream of silent) stream.destroy();
    await until(() => lab.server.clients === 1);
  });

  test('finds no place where all have spoken', async () => {
    await using lab = await DoorLab.open();
    const { clients } = managementLimits;
    const all = await Promise.all(Array.from({ length: clients }, () => lab.connect()));
    expect(await text(await lab.raw())).toBe('');
    for (const client of all) client.close();
  });
});

describe('events', () => {
  test('come in order, from a number on, and after their request is answered', async () => {
    const events = new FakeEvents();
    await using lab = await DoorLab.open({ subscribe: events.subscribe.bind(events) });
    for (const id of ['a', 'b', 'c']) events.emit(id);
    const stream = await lab.raw();
    stream.write(HELLO);
    await answers(stream, 1);
    stream.write(request(1, 'events.subscribe', { from: 2, epoch: 'epoch-1' }));
    const told = await answers(stream, 3);
    expect(told).toMatchObject([
      { id: 1, result: { next: 2, epoch: 'epoch-1' } },
      { method: 'event', params: { sequence: 2, containerId: 'b' } },
      { method: 'event', params: { sequence: 3, containerId: 'c' } },
    ]);
    stream.destroy();
    await until(() => events.receivers === 0);
  });

  test('resume at their number after a reconnection, none lost and none twice', async () => {
    const events = new FakeEvents();
    await using lab = await DoorLab.open({ subscribe: events.subscribe.bind(events) });
    await using client = await lab.connect();
    const stop = new AbortController();
    const subscribed = Promise.withResolvers<void>();
    const seen: number[] = [];
    const following = (async () => {
      const options = { signal: stop.signal, onSubscribed: () => subscribed.resolve() };
      for await (const item of client.events(options)) {
        if (item.type !== 'event') throw new Error(`a ${item.type}`);
        seen.push(Number(item.sequence));
        if (seen.length === 20) stop.abort();
      }
    })();
    await subscribed.promise;
    for (let round = 0; round < 20; round += 1) {
      events.emit('a');
      if (round % 5 === 4) {
        await until(() => seen.length === round + 1);
        // Every client: the one of the events is among them.
        await lab.server[Symbol.asyncDispose]();
      }
    }
    await following;
    expect(seen).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });

  test('are sent no more once a client has said so', async () => {
    const events = new FakeEvents();
    await using lab = await DoorLab.open({ subscribe: events.subscribe.bind(events) });
    await using client = await lab.connect();
    const seen: unknown[] = [];
    using _listener = client.connection.on('event', ({ sequence }) => seen.push(sequence));
    await client.call('events.subscribe', { from: 1, epoch: 'epoch-1' });
    await until(() => events.receivers === 1);
    events.emit('a');
    await client.call('events.unsubscribe', {});
    events.emit('b');
    await client.call('events.unsubscribe', {});
    expect(seen).toEqual([1]);
    expect(events.receivers).toBe(0);
  });

  test('that are no longer kept are said to be lost, also those of another epoch', async () => {
    const events = new FakeEvents(2);
    await using lab = await DoorLab.open({ subscribe: events.subscribe.bind(events) });
    for (const id of ['a', 'b', 'c', 'd']) events.emit(id);
    await using client = await lab.connect();
    expect(await client.call('events.subscribe', { from: 1, epoch: 'epoch-1' })).toMatchObject({
      next: 3,
      gap: { from: 1, to: 2, reason: 'dropped' },
    });
    expect(await client.call('events.subscribe', { from: 9, epoch: 'old' })).toMatchObject({
      next: 3,
      gap: { reason: 'other-epoch' },
    });
  });

  test('wait in the log for a slow reader, and what falls out of it there is said', async () => {
    const events = new FakeEvents(50);
    await using lab = await DoorLab.open({ subscribe: events.subscribe.bind(events) });
    const stream = await lab.raw();
    stream.write(HELLO);
    await answers(stream, 1);
    stream.write(request(1, 'events.subscribe', {}));
    await answers(stream, 1);
    stream.pause();
    const total = 60_000;
    for (let n = 0; n < total; n += 1) {
      events.emit('x'.repeat(100));
      if (n % 1000 === 0) await new Promise(setImmediate);
    }
    expect(events.receivers).toBe(0);
    const numbers: number[] = [];
    let lost = 0;
    let seen = '';
    while (numbers.at(-1) !== total) {
      const chunk = stream.read() as string | null;
      if (chunk === null) {
        await once(stream, 'readable');
        continue;
      }
      seen += chunk;
      const end = seen.lastIndexOf('Content-Length');
      for (const { method, params } of bodiesIn(seen.slice(0, end))) collect(method, params);
      seen = seen.slice(end);
      if (seen.endsWith('}}')) {
        for (const { method, params } of bodiesIn(seen)) collect(method, params);
        seen = '';
      }
    }
    function collect(method: unknown, params: unknown): void {
      const { sequence, from, to } = params as { sequence: number; from: number; to: number };
      if (method === 'events.gap') lost += to - from + 1;
      else numbers.push(sequence);
    }
    expect(lost).toBeGreaterThan(0);
    expect(numbers.length + lost).toBe(total);
    stream.destroy();
  });
});

test('what serves the door is loaded with the first client, and once', async () => {
  await using lab = await DoorLab.open();
  expect(lab.loads).toBe(0);
  await using _one = await lab.connect();
  await using _other = await lab.connect();
  expect(lab.loads).toBe(1);
});
