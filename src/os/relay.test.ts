import { execFile } from 'node:child_process';
import {
  constants as fileFlags,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { Socket } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex, Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Pattern, receivePattern, sendPattern } from '../../test/support/pattern.ts';
import { requireNothingLeft } from '../../test/support/process-suite.ts';
import { fillUp } from '../../test/support/stdio-rig.ts';
import type { Fd } from './fd.ts';
import { bytesReadable, openFile, pipe } from './pipe.ts';
import { openPty } from './pty.ts';
import { bytesUnread, NativeRelay, type RelayNews, type RelayOptions } from './relay.ts';
import { shutdown, socketPair, toDuplex } from './socket.ts';

const MIB = 1_048_576;
const { EISDIR, ENOSPC, EPIPE } = constants.errno;
const pattern = new Pattern();

/**
 * Nanoseconds that all relay threads together have been on a processor (schedstat of proc(5)): grows
 * when one of them wakes up, and when one never sleeps.
 */
function timeRun(): number {
  let sum = 0;
  for (const tid of readdirSync('/proc/self/task')) {
    const task = `/proc/self/task/${tid}`;
    if (readFileSync(`${task}/comm`, 'utf8') !== 'gcs-relay\n') continue;
    sum += Number(readFileSync(`${task}/schedstat`, 'utf8').split(' ')[0]);
  }
  return sum;
}

/** Destroyed after the test. */
function follow(stream: Duplex): Duplex {
  streams.push(stream);
  return stream;
}

function streamOf(fd: Fd): Duplex {
  return follow(toDuplex(fd));
}

function writerTo(fd: Fd): Writable {
  return follow(new Socket({ fd: fd.take(), readable: false, writable: true }));
}

function readerFrom(fd: Fd): Readable {
  return follow(new Socket({ fd: fd.take(), readable: true, writable: false }));
}

requireNothingLeft();
const held: Fd[] = [];
const streams: Duplex[] = [];

/** Closed after the test. */
function keep(fd: Fd): Fd {
  held.push(fd);
  return fd;
}

/** Both ends of a terminal that nobody is led by. */
function openTerminal(): { master: Fd; slave: Fd } {
  const { master, path } = openPty();
  return {
    master: keep(master),
    slave: keep(openFile(path, fileFlags.O_RDWR | fileFlags.O_NOCTTY)),
  };
}

/** A pipe whose read end is the source of a relay, and a socket pair whose first end is its destination. */
function pipeToSocket(options: Partial<RelayOptions> = {}) {
  const { read, write } = pipe();
  const [near, far] = socketPair();
  const relay = NativeRelay.start({
    source: keep(read),
    destination: keep(near),
    method: 'splice',
    watchDestination: true,
    ...options,
  });
  return { relay, source: read, process: keep(write), near, host: keep(far) };
}

/** The other way round. */
function socketToPipe(options: Partial<RelayOptions> = {}) {
  const { read, write } = pipe();
  const [near, far] = socketPair();
  const relay = NativeRelay.start({
    source: keep(near),
    destination: keep(write),
    method: 'splice',
    watchDestination: true,
    ...options,
  });
  return { relay, source: near, process: keep(read), host: keep(far) };
}

/** A relay whose destination was full before it began, with some bytes waiting in its source. */
function stalled(options: Partial<RelayOptions> = {}) {
  const { read, write } = pipe();
  const [near, far] = socketPair();
  const filling = fillUp(near);
  writeSync(write.raw, 'waiting');
  const relay = NativeRelay.start({
    source: keep(read),
    destination: keep(near),
    method: 'splice',
    watchDestination: true,
    ...options,
  });
  return { relay, source: read, process: keep(write), host: keep(far), filling };
}

/** Makes some other relay do a thousand rounds, by which time a thread that spins has been seen. */
async function passTime(): Promise<void> {
  const other = pipeToSocket();
  const byte = Buffer.alloc(1);
  for (let round = 0; round < 1000; round++) {
    writeSync(other.process.raw, byte);
    await other.relay.barrier();
    readSync(other.host.raw, byte);
  }
  other.relay.cancel();
  await other.relay.done;
}

afterEach(() => {
  for (const stream of streams.splice(0)) stream.destroy();
  for (const fd of held.splice(0)) fd.close();
});

describe('what a relay moves', () => {
  const total = 32 * MIB + 17;

  test.each([
    'splice',
    'copy',
  ] as const)('pipe to socket, %s: every byte in order, then the end', async (method) => {
    const { relay, process, host, near } = pipeToSocket({ method });
    const received = receivePattern(streamOf(host), pattern);
    await sendPattern(writerTo(process), pattern, total);
    expect(await relay.done).toEqual({
      end: 'eof',
      bytes: total,
      errno: 0,
      teeErrno: 0,
      logErrno: 0,
      lostErrno: 0,
      undelivered: 0,
    });
    shutdown(near, 'write');
    expect(await received).toBe(total);
  });

  test.each([
    'splice',
    'copy',
  ] as const)('socket to pipe, %s: every byte in order, then the end', async (method) => {
    const { relay, process, host } = socketToPipe({ method });
    const received = receivePattern(readerFrom(process), pattern);
    const sender = streamOf(host);
    await sendPattern(sender, pattern, total);
    expect(await relay.done).toMatchObject({ end: 'eof', bytes: total });
    for (const fd of held) fd.close();
    expect(await received).toBe(total);
  });

  test('copies where neither end is a pipe', async () => {
    const [source, from] = socketPair();
    const [destination, to] = socketPair();
    const relay = NativeRelay.start({
      source: keep(source),
      destination: keep(destination),
      method: 'splice',
    });
    const received = receivePattern(streamOf(to), pattern);
    await sendPattern(streamOf(from), pattern, total);
    expect(await relay.done).toMatchObject({ end: 'eof', bytes: total });
    destination.close();
    expect(await received).toBe(total);
  });

  test('single bytes, each as soon as it is written', async () => {
    const { relay, process, host } = pipeToSocket();
    const byte = Buffer.alloc(1);
    for (let value = 0; value < 256; value++) {
      writeSync(process.raw, Buffer.of(value));
      await relay.barrier();
      expect(readSync(host.raw, byte)).toBe(1);
      expect(byte[0]).toBe(value);
    }
    relay.cancel();
    expect(await relay.done).toMatchObject({ end: 'cancelled', bytes: 256 });
  });

  test('a pty: all output, then EIO as the end', async () => {
    const { master, slave } = openTerminal();
    const [near, far] = socketPair();
    const relay = NativeRelay.start({
      source: master,
      destination: keep(near),
      method: 'copy',
      eioIsEof: true,
    });
    writeSync(slave.raw, 'ready\n');
    slave.close();
    expect(await relay.done).toMatchObject({ end: 'eof', bytes: 7, errno: 0 });
    const buffer = Buffer.alloc(16);
    expect(buffer.toString('latin1', 0, readSync(keep(far).raw, buffer))).toBe('ready\r\n');
  });
});

describe('how a relay ends', () => {
  test('the host closes while the process is silent', async () => {
    const { relay, host } = pipeToSocket();
    host.close();
    expect(await relay.done).toMatchObject({ end: 'destination-closed', bytes: 0, errno: EPIPE });
  });

  test('the host closes while its connection is full', async () => {
    const { relay, host } = stalled();
    await passTime();
    host.close();
    expect(await relay.done).toMatchObject({ end: 'destination-closed', bytes: 0 });
  });

  test('a host that only half-closes goes on reading', async () => {
    const { relay, process, host } = pipeToSocket();
    shutdown(host, 'write');
    writeSync(process.raw, 'still here');
    await relay.barrier();
    expect(bytesReadable(host)).toBe(10);
    process.close();
    expect(await relay.done).toMatchObject({ end: 'eof', bytes: 10 });
  });

  test('a host that half-closed and then closes is noticed while the process is silent', async () => {
    const { relay, host } = pipeToSocket();
    shutdown(host, 'write');
    await relay.barrier();
    host.close();
    expect(await relay.done).toMatchObject({ end: 'destination-closed' });
  });

  test('without watchDestination a silent relay outlives its destination', async () => {
    const { relay, process, host } = pipeToSocket({ watchDestination: false });
    host.close();
    await relay.barrier();
    writeSync(process.raw, 'x');
    expect(await relay.done).toMatchObject({ end: 'destination-closed', errno: EPIPE });
  });

  test('the process closes its stdin while the host is silent', async () => {
    const { relay, process } = socketToPipe();
    process.close();
    expect(await relay.done).toMatchObject({ end: 'destination-closed', bytes: 0 });
  });

  test('the last slave of a pty is closed while the host is silent', async () => {
    const { master, slave } = openTerminal();
    const [near, far] = socketPair();
    const relay = NativeRelay.start({
      source: keep(near),
      destination: master,
      method: 'copy',
      watchDestination: true,
    });
    writeSync(keep(far).raw, 'x');
    await relay.barrier();
    slave.close();
    expect(await relay.done).toMatchObject({ end: 'destination-closed', bytes: 1 });
  });

  test('cancelled with a full destination: what is not delivered is still in the source', async () => {
    const { relay, source } = stalled();
    await passTime();
    relay.cancel();
    expect(await relay.done).toMatchObject({ end: 'cancelled', bytes: 0, undelivered: 0 });
    expect(bytesReadable(source)).toBe(7);
  });

  test('cancelled while copying to a full destination: what was taken and is lost is told', async () => {
    const { relay, source } = stalled({ method: 'copy' });
    await passTime();
    relay.cancel();
    expect(await relay.done).toMatchObject({ end: 'cancelled', bytes: 0, undelivered: 7 });
    expect(bytesReadable(source)).toBe(0);
  });

  test('cancelled with a full destination and a pipe in between: what was taken is in the pipe', async () => {
    const { master, slave } = openTerminal();
    const [near, far] = socketPair();
    keep(far);
    fillUp(keep(near));
    const through = pipe();
    const relay = NativeRelay.start({
      source: master,
      destination: near,
      method: 'copy',
      eioIsEof: true,
      through: { read: keep(through.read), write: keep(through.write) },
    });
    writeSync(slave.raw, 'under way');
    while (bytesReadable(through.read) === 0) await passTime();
    relay.cancel();
    expect(await relay.done).toMatchObject({ end: 'cancelled', bytes: 0, undelivered: 9 });
    expect(bytesReadable(through.read)).toBe(9);
  });

  test('a sink takes the place of a destination that has gone, and that is told', async () => {
    const sink = keep(openFile('/dev/null', fileFlags.O_WRONLY));
    const news: RelayNews[] = [];
    const told = Promise.withResolvers<void>();
    const onNews = (each: RelayNews): void => {
      news.push(each);
      told.resolve();
    };
    const { relay, process, host, near } = pipeToSocket({ sink, onNews });
    host.close();
    await told.promise;
    near.close();
    await sendPattern(writerTo(process), pattern, 3 * MIB);
    expect(await relay.done).toMatchObject({ end: 'eof', bytes: 3 * MIB, lostErrno: EPIPE });
    expect(news).toEqual(['destination-lost']);
  });

  test('an error of the source is told by number', async () => {
    const [near, far] = socketPair();
    const file = keep(openFile(tmpdir(), fileFlags.O_RDONLY));
    const relay = NativeRelay.start({ source: file, destination: keep(near), method: 'copy' });
    keep(far);
    expect(await relay.done).toMatchObject({ end: 'error', errno: EISDIR });
  });
});

describe('a relay that has nothing to do', () => {
  test('does not wake up: silent source, full destination, half-closed host, silent stdin', async () => {
    const silent = pipeToSocket();
    const full = stalled();
    const fullCopy = stalled({ method: 'copy' });
    const halfClosed = pipeToSocket();
    shutdown(halfClosed.host, 'write');
    const stdin = socketToPipe();
    await Promise.all([silent.relay.barrier(), halfClosed.relay.barrier(), stdin.relay.barrier()]);
    // On a busy machine a thread may still be on its way to its first sleep, or to its end.
    let before = 0;
    for (let round = 0; round < 5 && timeRun() !== before; round++) {
      before = timeRun();
      await passTime();
    }
    expect(before).toBeGreaterThan(0);
    expect(timeRun()).toBe(before);
    const relays = [silent, full, fullCopy, halfClosed, stdin].map(({ relay }) => relay);
    for (const relay of relays) relay.cancel();
    await Promise.all(relays.map((relay) => relay.done));
  });

  test('goes on when a full destination is read again', async () => {
    const { relay, process, host, filling } = stalled();
    await passTime();
    process.close();
    const stream = streamOf(host);
    let length = 0;
    for await (const chunk of stream) {
      length += (chunk as Buffer).length;
      if (length === filling + 7) break;
    }
    expect(await relay.done).toMatchObject({ end: 'eof', bytes: 7 });
  });
});

describe('barrier', () => {
  test('passes when what was there is delivered, also while somebody goes on writing', async () => {
    const { relay, process, host } = pipeToSocket();
    writeSync(process.raw, 'from the process');
    const stop = new AbortController();
    const endless = (async () => {
      const writer = writerTo(process);
      const reader = streamOf(host);
      reader.resume();
      while (!stop.signal.aborted) {
        if (!writer.write(Buffer.alloc(65_536)))
          await new Promise((resolve) => writer.once('drain', resolve));
      }
      writer.destroy();
      reader.destroy();
    })();
    await relay.barrier();
    expect(relay.bytes).toBeGreaterThanOrEqual(16);
    stop.abort();
    await endless;
    await relay.done;
  });

  test('waits for a host that does not read', async () => {
    const { relay, host, filling } = stalled();
    let passed = false;
    const barrier = relay.barrier().then(() => {
      passed = true;
    });
    await passTime();
    expect(passed).toBe(false);
    const buffer = Buffer.alloc(filling);
    for (let length = 0; length < filling; ) length += readSync(host.raw, buffer);
    await barrier;
    expect(relay.bytes).toBe(7);
    relay.cancel();
    await relay.done;
  });

  test('passes at the end at the latest', async () => {
    const { relay } = stalled();
    const barriers = [relay.barrier(), relay.barrier()];
    relay.cancel();
    await relay.done;
    await Promise.all([...barriers, relay.barrier()]);
  });
});

describe('tee', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'gcs-relay-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test.each(['splice', 'copy'] as const)('%s: the log file gets every byte too', async (method) => {
    const total = 8 * MIB + 3;
    const path = join(directory, 'log');
    const { O_WRONLY, O_CREAT, O_APPEND } = fileFlags;
    const tee = keep(openFile(path, O_WRONLY | O_CREAT | O_APPEND));
    const { relay, process, host, near } = pipeToSocket({ method, tee });
    const received = receivePattern(streamOf(host), pattern);
    await sendPattern(writerTo(process), pattern, total);
    expect(await relay.done).toMatchObject({ end: 'eof', bytes: total, teeErrno: 0 });
    shutdown(near, 'write');
    expect(await received).toBe(total);
    const log = readFileSync(path);
    expect(log.length).toBe(total);
    pattern.check(log, 0);
  });

  test.each([
    'splice',
    'copy',
  ] as const)('%s: a full disk stops the log, not the stream', async (method) => {
    const total = 4 * MIB;
    const tee = keep(openFile('/dev/full', fileFlags.O_WRONLY));
    const news: RelayNews[] = [];
    const onNews = (each: RelayNews): void => void news.push(each);
    const { relay, process, host, near } = pipeToSocket({ method, tee, onNews });
    const received = receivePattern(streamOf(host), pattern);
    await sendPattern(writerTo(process), pattern, total);
    expect(await relay.done).toMatchObject({ end: 'eof', bytes: total, teeErrno: ENOSPC });
    expect(news).toEqual(['tee-stopped']);
    shutdown(near, 'write');
    expect(await received).toBe(total);
  });
});

describe('the end of the environment', () => {
  const script = `
    const { NativeRelay } = await import(${JSON.stringify(import.meta.resolve('./relay.ts'))});
    const { pipe } = await import(${JSON.stringify(import.meta.resolve('./pipe.ts'))});
    const { socketPair } = await import(${JSON.stringify(import.meta.resolve('./socket.ts'))});
    for (let i = 0; i < 20; i++) {
      NativeRelay.start({ source: pipe().read, destination: socketPair()[0], method: 'splice', watchDestination: true });
    }
  `;
  const run = (source: string) =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', source]);

  test('process.exit with running relays', async () => {
    const { stdout } = await run(`${script}; process.stdout.write('started'); process.exit(0);`);
    expect(stdout).toBe('started');
  });

  test('a worker is terminated with running relays', async () => {
    const { stdout } = await run(`
      import { Worker } from 'node:worker_threads';
      import { once } from 'node:events';
      const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(
        `${script}; (await import('node:worker_threads')).parentPort.postMessage(0); setInterval(() => {}, 1e6)`,
      )})));
      await once(worker, 'message');
      process.stdout.write(String(await worker.terminate()));
    `);
    expect(stdout).toBe('1');
  });
});

test('bytesUnread counts what the peer of a socket has not read', () => {
  const [near, far] = socketPair().map(keep);
  if (near === undefined || far === undefined) throw new Error('no pair');
  writeSync(near.raw, 'four');
  expect(bytesUnread(near)).toBeGreaterThan(0);
  readSync(far.raw, Buffer.alloc(4));
  expect(bytesUnread(near)).toBe(0);
  const noSocket = keep(openFile('/dev/null', fileFlags.O_WRONLY));
  expect(bytesUnread(noSocket)).toBe(0);
});
