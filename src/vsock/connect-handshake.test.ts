import { readSync, writeSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Fd } from '../os/fd.ts';
import { shutdown, socketPair } from '../os/socket.ts';
import { MAX_LINE_BYTES, readConnect, requestConnect, writeOk } from './connect-handshake.ts';

const place = { transport: 'test', port: 7, operation: 'dial' };
const never = new AbortController().signal;

/** What is left to read, up to `atMost` bytes. */
function remaining(fd: Fd, atMost = 65_536): Buffer {
  const bytes = Buffer.alloc(atMost);
  return bytes.subarray(0, readSync(fd.raw, bytes, 0, atMost, null));
}

async function reading(line: string | Buffer): Promise<number> {
  const [guest, host] = socketPair();
  using _guest = guest;
  using _host = host;
  writeSync(host.raw, line as string);
  shutdown(host, 'write');
  return await readConnect(guest, place, never);
}

describe('the CONNECT line', () => {
  it.each([
    ['CONNECT 1024\n', 1024],
    ['CONNECT 0\n', 0],
    ['CONNECT 4294967294\n', 4294967294],
    ['connect 52\n', 52],
    ['CONNECT 52\r\n', 52],
  ])('%j asks for a port', async (line, port) => {
    expect(await reading(line)).toBe(port);
  });

  it.each([
    'CONNECT\n',
    'CONNECT \n',
    'CONNECT  1\n',
    ' CONNECT 1\n',
    'CONNECT 1 2\n',
    'CONNECT -1\n',
    'CONNECT +1\n',
    'CONNECT 0x10\n',
    'CONNECT 1e3\n',
    'CONNECT 4294967295\n',
    'CONNECT 99999999999\n',
    'CONNECT １\n',
    'CONNECT 1\0\n',
    'GET / HTTP/1.1\r\n',
    '\n',
    `${'C'.repeat(MAX_LINE_BYTES)}\n`,
    `CONNECT ${' '.repeat(100)}1\n`,
    'CONNECT 1', // and the end
    '', // the end at once
  ])('%j is refused', async (line) => {
    await expect(reading(line)).rejects.toMatchObject({ code: 'protocol' });
  });

  it('is refused when it is binary, and the error is one line', async () => {
    const error = await reading(Buffer.from([0x00, 0xff, 0x0d, 0x1b, 0x0a])).catch((e) => e);
    expect(error).toMatchObject({ code: 'protocol' });
    expect(error.message).not.toMatch(/\p{Cc}/u);
  });

  it('is read no further than the limit when it has no end', async () => {
    const [guest, host] = socketPair();
    using _guest = guest;
    using _host = host;
    writeSync(host.raw, Buffer.alloc(1_000, 'x'));
    await expect(readConnect(guest, place, never)).rejects.toMatchObject({ code: 'protocol' });
    expect(remaining(guest)).toHaveLength(1_000 - MAX_LINE_BYTES - 1);
  });

  it('is read to its end alone, however it and what follows arrive', async () => {
    const port = fc.integer({ min: 0, max: 0xfffffffe });
    const payload = fc.uint8Array({ maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(port, payload, fc.array(fc.nat(220)), async (number, bytes, cuts) => {
        const [guest, host] = socketPair();
        using _guest = guest;
        using _host = host;
        const all = Buffer.concat([Buffer.from(`CONNECT ${number}\n`), bytes]);
        const result = readConnect(guest, place, never);
        const ends = [...new Set([...cuts, all.length])].sort((a, b) => a - b);
        let start = 0;
        for (const end of ends.map((cut) => Math.min(cut, all.length))) {
          if (end > start) writeSync(host.raw, all, start, end - start);
          start = Math.max(start, end);
          await turn();
        }
        expect(await result).toBe(number);
        if (bytes.length > 0) expect(remaining(guest)).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 200 },
    );
  });

  it('is given up when the signal aborts, with its reason', async () => {
    const [guest, host] = socketPair();
    using _guest = guest;
    using _host = host;
    writeSync(host.raw, 'CONNECT 1');
    const abort = new AbortController();
    const reason = new Error('too slow');
    const result = readConnect(guest, place, abort.signal);
    abort.abort(reason);
    await expect(result).rejects.toBe(reason);
  });
});

describe('the answer to CONNECT', () => {
  /** Dials against a peer that has already answered with these bytes and then ends. */
  async function asking(answer: string): Promise<{ asked: string; behind: Buffer }> {
    const [host, guest] = socketPair();
    using _host = host;
    using _guest = guest;
    writeSync(guest.raw, answer);
    shutdown(guest, 'write');
    await requestConnect(host, place, never);
    return { asked: remaining(guest).toString(), behind: remaining(host) };
  }

  it('is OK and a number; what comes behind it stays in the socket', async () => {
    expect(await asking('OK 1073741824\nfirst bytes\n')).toEqual({
      asked: 'CONNECT 7\n',
      behind: Buffer.from('first bytes\n'),
    });
  });

  it('is written as it is read', async () => {
    const [host, guest] = socketPair();
    using _host = host;
    using _guest = guest;
    writeOk(guest, 0xfffffffe);
    await requestConnect(host, place, never);
  });

  it('is a refusal when there is none', async () => {
    await expect(asking('')).rejects.toMatchObject({ code: 'refused', port: 7 });
  });

  it.each([
    'OK\n',
    'OK x\n',
    'KO 1\n',
    'OK 1',
    '\n',
    'OK 12345678901\n',
    'x'.repeat(500),
  ])('breaks the convention as %j', async (answer) => {
    await expect(asking(answer)).rejects.toMatchObject({ code: 'protocol', port: 7 });
  });
});
