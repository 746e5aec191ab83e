import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { expect } from 'vitest';
import { connect, connectTo, type Ends, type TransportPair } from '../transport-pair.ts';
import { expectFailure } from './listening.ts';

export async function disposed(pair: TransportPair): Promise<void> {
  const listener = await pair.listener.listen(pair.port());
  const pending = expectFailure(listener.accept(), 'closed');
  await pair.listener[Symbol.asyncDispose]();
  await pending;
  await expectFailure(pair.listener.listen(pair.port()), 'closed');
  await pair.dialer[Symbol.asyncDispose]();
  await expectFailure(pair.dialer.dial(listener.port), 'closed');
}

export async function peerKilled(pair: TransportPair): Promise<void> {
  if (pair.spawnDialer === undefined) throw new Error('the pair cannot start a process that dials');
  await using listener = await pair.listener.listen(pair.port());
  const peer = pair.spawnDialer(listener.port);
  const exit = once(peer, 'exit');
  try {
    const stream = (await listener.accept()).stream();
    if (peer.stdout === null) throw new Error('the peer has no output');
    await once(peer.stdout, 'data');
    peer.kill('SIGKILL');
    await expectGone(stream);
  } finally {
    peer.kill('SIGKILL');
    await exit;
  }
}

export async function peerGoneUnread(pair: TransportPair): Promise<void> {
  using ends = await connect(pair);
  const stream = ends.accepted.stream();
  await new Promise<void>((resolve, reject) => {
    stream.write('never read', (error) => (error ? reject(error) : resolve()));
  });
  ends.dialed.close();
  await expectGone(stream);
}

/** Reading comes to an end, and so does writing: with an error, after what buffers still take. */
async function expectGone(stream: Duplex): Promise<void> {
  const ended = new Promise<void>((resolve) => {
    stream.once('end', resolve);
    stream.once('close', resolve);
  });
  const failed = new Promise<NodeJS.ErrnoException>((resolve) => stream.once('error', resolve));
  stream.resume();
  await ended;
  const chunk = Buffer.alloc(65_536);
  const push = (error?: Error | null) => {
    if (!error) stream.write(chunk, push);
  };
  push();
  expect(['EPIPE', 'ECONNRESET']).toContain((await failed).code);
}

export async function oneUse(pair: TransportPair): Promise<void> {
  using ends = await connect(pair);
  const { dialed, accepted } = ends;
  const stream = dialed.stream();
  expect(() => dialed.takeFd()).toThrow(expect.objectContaining({ code: 'closed' }));
  expect(() => dialed.stream()).toThrow(expect.objectContaining({ code: 'closed' }));
  // What was given away is no longer the connection's to close.
  dialed.close();
  using fd = accepted.takeFd();
  accepted.close();
  expect(fd.open).toBe(true);
  expect(() => accepted.stream()).toThrow(expect.objectContaining({ code: 'closed' }));
  stream.destroy();
  await once(stream, 'close');
}

export async function noLeak(pair: TransportPair): Promise<void> {
  await using listener = await pair.listener.listen(pair.port());
  const unused = pair.port();
  // What is made once and kept (poll sets, a first socket) is there after these.
  for (const use of uses) await use(await connectTo(pair, listener));
  const before = readdirSync('/proc/self/fd').length;
  for (let made = 0; made < 1_000; made += 1) {
    const use = uses[made % uses.length] ?? closeBoth;
    await use(await connectTo(pair, listener));
    if (made % 10 === 0) await expectFailure(pair.dialer.dial(unused), 'refused');
  }
  expect(readdirSync('/proc/self/fd').length).toBe(before);
}

const uses = [closeBoth, takeBoth, endStreams, destroyStreams];

async function closeBoth(ends: Ends): Promise<void> {
  ends.dialed.close();
  ends.accepted.close();
}

async function takeBoth(ends: Ends): Promise<void> {
  ends.dialed.takeFd().close();
  ends.accepted.takeFd().close();
}

async function endStreams(ends: Ends): Promise<void> {
  const streams = [ends.dialed.stream(), ends.accepted.stream()];
  const closed = streams.map((stream) => once(stream, 'close'));
  for (const stream of streams) stream.end('bye').resume();
  await Promise.all(closed);
}

async function destroyStreams(ends: Ends): Promise<void> {
  const streams = [ends.dialed.stream(), ends.accepted.stream()];
  const closed = streams.map((stream) => once(stream, 'close'));
  for (const stream of streams) stream.destroy();
  await Promise.all(closed);
}
