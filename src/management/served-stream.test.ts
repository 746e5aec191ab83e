import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { expect, test } from 'vitest';
import { socketPair, toDuplex } from '../os/socket.ts';
import { FdConnection } from '../vsock/connection.ts';
import type { RequestContext } from './handlers/handler.ts';
import { managementLimits } from './limits.ts';
import { serveStream } from './served-stream.ts';

/** A request whose stream is one end of a pair; `host` is the other. */
function requestWithStream() {
  const [guest, far] = socketPair();
  const host = toDuplex(far);
  host.on('error', () => {});
  const end = new AbortController();
  const connection = new FdConnection(guest, 2, 'test');
  const client = { claimStream: async () => connection } as unknown as RequestContext['client'];
  const context: RequestContext = { client, signal: end.signal, progress: () => {} };
  return { host, context, end };
}

test('what was written comes whole, then the end', async () => {
  const { host, context } = requestWithStream();
  const content = text(host);
  await serveStream(context, 't', (stream) => pipeline(Readable.from(['all', ' of it']), stream));
  expect(await content).toBe('all of it');
  host.destroy();
});

test('a peer that goes away in the middle is said, and nothing is left', async () => {
  const { host, context } = requestWithStream();
  const endless = function* () {
    for (;;) yield Buffer.alloc(65_536);
  };
  host.once('data', () => host.destroy());
  const served = serveStream(context, 't', (stream) => pipeline(Readable.from(endless()), stream));
  await expect(served).rejects.toMatchObject({ code: 'stream-broken' });
});

test('a request that is given up ends with that reason', async () => {
  const { host, context, end } = requestWithStream();
  const reason = new Error('given up');
  const served = serveStream(context, 't', (stream) => text(stream));
  host.write('x');
  await new Promise(setImmediate);
  end.abort(reason);
  await expect(served).rejects.toBe(reason);
  host.destroy();
});

test('so many are served at one time and not one more', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const rigs = Array.from({ length: managementLimits.servedStreams + 1 }, requestWithStream);
  const last = rigs.pop();
  const served = rigs.map(({ context }) => serveStream(context, 't', () => promise));
  if (last === undefined) throw new Error('no rig');
  await expect(serveStream(last.context, 't', () => promise)).rejects.toMatchObject({
    code: 'limit',
  });
  resolve();
  await Promise.all(served);
  await serveStream(last.context, 't', () => promise);
  for (const { host } of [...rigs, last]) host.destroy();
});
