import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'vitest';
import { Pattern, receivePattern, sendPattern } from '../pattern.ts';
import { connect, type TransportPair } from '../transport-pair.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** What "1 GiB" is; less where an emulated processor would take minutes for it. */
const GIB = Number(process.env.GCS_TEST_GIB_MIB ?? 1024) * MIB;

/** Everything up to the end, with the other direction left alone. */
async function readAll(from: Duplex): Promise<string> {
  const parts: Buffer[] = [];
  for await (const chunk of from.iterator({ destroyOnReturn: false })) parts.push(chunk as Buffer);
  return Buffer.concat(parts).toString('latin1');
}

export async function bothWays(pair: TransportPair): Promise<void> {
  using ends = await connect(pair);
  const [a, b] = [ends.dialed.stream(), ends.accepted.stream()];
  a.end('from the dialer');
  b.end('from the acceptor');
  expect(await Promise.all([readAll(a), readAll(b)])).toEqual([
    'from the acceptor',
    'from the dialer',
  ]);
}

export async function earlyData(pair: TransportPair): Promise<void> {
  await using listener = await pair.listener.listen(pair.port());
  const dialed = (await pair.dialer.dial(listener.port)).stream();
  dialed.end('early');
  await once(dialed, 'finish');
  const accepted = (await listener.accept()).stream();
  expect(await readAll(accepted)).toBe('early');
  accepted.end('late');
  expect(await readAll(dialed)).toBe('late');
}

export async function dialerEndsFirst(pair: TransportPair): Promise<void> {
  using ends = await connect(pair);
  await endsFirst(ends.dialed.stream(), ends.accepted.stream());
}

export async function acceptorEndsFirst(pair: TransportPair): Promise<void> {
  using ends = await connect(pair);
  await endsFirst(ends.accepted.stream(), ends.dialed.stream());
}

async function endsFirst(first: Duplex, second: Duplex): Promise<void> {
  first.end('the last word of the first');
  expect(await readAll(second)).toBe('the last word of the first');
  // More than any buffer on the way, so that it is written long after the end in the other direction.
  const pattern = new Pattern();
  const [received] = await Promise.all([
    receivePattern(first, pattern),
    sendPattern(second, pattern, 4 * MIB),
  ]);
  expect(received).toBe(4 * MIB);
}

/** One write of `size` bytes each way. */
export function oneWriteOf(size: number): (pair: TransportPair) => Promise<void> {
  return async (pair) => {
    using ends = await connect(pair);
    const bytes = Buffer.from(new Pattern().slice(0, size));
    const [a, b] = [ends.dialed.stream(), ends.accepted.stream()];
    const both = Promise.all([buffer(a), buffer(b)]);
    a.end(bytes);
    b.end(bytes);
    for (const received of await both) expect(received.equals(bytes)).toBe(true);
  };
}

export async function bulkThroughStreams(pair: TransportPair): Promise<void> {
  using ends = await connect(pair);
  const [a, b] = [ends.dialed.stream(), ends.accepted.stream()];
  const [there, back] = [new Pattern(), new Pattern()];
  const [, received, , returned] = await Promise.all([
    sendPattern(a, there, GIB),
    receivePattern(b, there),
    sendPattern(b, back, GIB),
    receivePattern(a, back),
  ]);
  expect([received, returned]).toEqual([GIB, GIB]);
}

/** The dialed descriptor is stdin and stdout of cat(1): 1 GiB in, the same 1 GiB out. */
export async function bulkThroughProcess(pair: TransportPair): Promise<void> {
  using ends = await connect(pair);
  using fd = ends.dialed.takeFd();
  const cat = spawn('cat', { stdio: [fd.raw, fd.raw, 'inherit'] });
  fd.close();
  const host = ends.accepted.stream();
  const pattern = new Pattern();
  const [, received, [code]] = await Promise.all([
    sendPattern(host, pattern, GIB),
    receivePattern(host, pattern),
    once(cat, 'exit'),
  ]);
  expect({ received, code }).toEqual({ received: GIB, code: 0 });
}

/** More than the buffers of any transport hold, less than would hurt if one did not stop. */
const UNREAD_LIMIT = 16 * MIB;

export async function backpressure(pair: TransportPair): Promise<void> {
  using ends = await connect(pair);
  const [writer, reader] = [ends.dialed.stream(), ends.accepted.stream()];
  reader.pause();
  const pattern = new Pattern();
  const total = 4 * UNREAD_LIMIT;
  let sent = 0;
  let received = 0;
  let most = 0;
  const note = () => {
    most = Math.max(most, sent - received);
  };
  const sending = sendPattern(writer, pattern, total, (count) => {
    sent = count;
    note();
  });
  // A writer that does not stop gets through all of it in these turns.
  for (let turns = 0; turns < 2_000; turns += 1) await turn();
  expect(sent).toBeLessThan(UNREAD_LIMIT);
  const receiving = receivePattern(reader, pattern, (count) => {
    received = count;
    note();
  });
  await Promise.all([sending, receiving]);
  expect(received).toBe(total);
  expect(most).toBeLessThan(UNREAD_LIMIT);
}

export async function rawDescriptor(pair: TransportPair): Promise<void> {
  using ends = await connect(pair);
  using dialed = ends.dialed.takeFd();
  using accepted = ends.accepted.takeFd();
  for (const fd of [dialed, accepted]) {
    const info = readFileSync(`/proc/self/fdinfo/${fd.raw}`, 'utf8');
    const flags = Number.parseInt(/flags:\s*([0-7]+)/.exec(info)?.[1] ?? '', 8);
    // O_CLOEXEC and O_NONBLOCK, see proc_pid_fdinfo(5).
    expect(flags & 0o2000000).not.toBe(0);
    expect(flags & 0o4000).not.toBe(0);
    expect(() => readSync(fd.raw, Buffer.alloc(1), 0, 1, null)).toThrow('EAGAIN');
  }
}
