import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InputStream } from './input-stream.ts';
import { OutputStream } from './output-stream.ts';

let host: Duplex;
let guest: Duplex;

beforeEach(() => {
  [host, guest] = duplexPair();
  guest.on('error', () => {});
});

afterEach(() => {
  vi.useRealTimers();
});

describe('the output of a process', () => {
  it('closes its connection at its end, not before', async () => {
    const output = new OutputStream(host);
    guest.write('all ');
    await once(output, 'readable');
    expect(host.destroyed).toBe(false);
    guest.end('of it');
    expect(await text(output)).toBe('all of it');
    expect(host.destroyed).toBe(true);
  });

  it('holds the guest back when nobody reads, and loses nothing', async () => {
    const output = new OutputStream(host);
    const chunk = Buffer.alloc(64 * 1024, 7);
    let accepted = 0;
    while (guest.write(chunk, () => {}) && accepted < 100) accepted += 1;
    expect(accepted).toBeLessThan(100);
    guest.end();
    expect((await buffer(output)).length).toBe((accepted + 1) * chunk.length);
  });

  it('destroyed early closes the connection', async () => {
    const output = new OutputStream(host);
    const ended = once(guest.resume(), 'end');
    output.destroy();
    await ended;
  });

  it('fails when the connection breaks instead of ending', async () => {
    const output = new OutputStream(host);
    const reading = text(output);
    host.destroy(new Error('reset'));
    await expect(reading).rejects.toThrow('reset');
  });

  it('held open by something else ends once it was silent for a time after the exit', async () => {
    vi.useFakeTimers();
    const output = new OutputStream(host);
    const reading = text(output);
    guest.write('said ');
    output.processExited(1000);
    await vi.advanceTimersByTimeAsync(900);
    guest.write('more');
    await vi.advanceTimersByTimeAsync(900);
    expect(host.destroyed).toBe(false);
    await vi.advanceTimersByTimeAsync(100);
    expect(await reading).toBe('said more');
    expect(host.destroyed).toBe(true);
  });

  it('is not cut after the exit while its reader is behind', async () => {
    vi.useFakeTimers();
    const output = new OutputStream(host);
    const half = Buffer.alloc(64 * 1024, 1);
    guest.write(half);
    guest.write(half);
    guest.end();
    output.once('readable', () => {});
    output.processExited(10);
    await vi.advanceTimersByTimeAsync(60_000);
    vi.useRealTimers();
    expect((await buffer(output)).length).toBe(2 * half.length);
  });

  it('that breaks does not end the host when nobody listens', async () => {
    const output = new OutputStream(host);
    const closed = new Promise((resolve) => output.on('close', resolve));
    output.destroy(new Error('lost'));
    await closed;
    expect(host.destroyed).toBe(true);
  });
});

describe('the input of a process', () => {
  it('half-closes at its end and keeps the connection until the guest closes it', async () => {
    const input = new InputStream(host);
    input.end('to the end');
    expect(await text(guest)).toBe('to the end');
    expect(host.destroyed).toBe(false);
    guest.end();
    await once(host, 'close');
    expect(input.destroyed).toBe(true);
  });

  it('delivers many writes in order', async () => {
    const input = new InputStream(host);
    const lines = Array.from({ length: 1000 }, (_, n) => `${n}\n`);
    const received = text(guest);
    for (const line of lines) input.write(line);
    input.end();
    expect(await received).toBe(lines.join(''));
  });

  it('of a process that is gone does not end the host when nobody listens', async () => {
    const input = new InputStream(host);
    const closed = new Promise((resolve) => input.on('close', resolve));
    host.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    await closed;
    expect(input.destroyed).toBe(true);
  });

  it('of a process that is gone fails the pipeline that writes to it', async () => {
    const input = new InputStream(host);
    const endless = async function* () {
      for (;;) yield Buffer.alloc(1024);
    };
    const writing = pipeline(endless, input);
    host.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    await expect(writing).rejects.toMatchObject({ code: 'EPIPE' });
  });
});
