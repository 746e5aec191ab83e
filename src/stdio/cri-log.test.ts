import { execFile } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { assertNothingLeft, type Census, takeCensus } from '../../test/support/census.ts';
import { openCriLog } from './cri-log.ts';
import type { CriLogEntry } from './cri-log-entry.ts';
import { type ReadCriLogOptions, readCriLog } from './read-cri-log.ts';

let directory: string;
let path: string;
let census: Census;

beforeAll(() => {
  // The event loop keeps what it watches files with.
  watch(tmpdir()).close();
});
beforeEach(() => {
  census = takeCensus({ only: 'process' });
  directory = mkdtempSync(join(tmpdir(), 'gcs-log-'));
  path = join(directory, 'log');
});
afterEach(async () => {
  rmSync(directory, { recursive: true });
  await assertNothingLeft(census);
});

async function readAll(options: ReadCriLogOptions = {}): Promise<CriLogEntry[]> {
  return await Array.fromAsync(readCriLog(path, options));
}

/** A stream as its entries tell it. */
function contentOf(entries: readonly CriLogEntry[], stream: 'stdout' | 'stderr'): Buffer {
  return Buffer.concat(entries.filter((each) => each.stream === stream).map(({ bytes }) => bytes));
}

const texts = (entries: readonly CriLogEntry[]): string[] =>
  entries.map(({ bytes }) => bytes.toString());

/** Bytes with newlines in all distances, and lines around the longest content of an entry. */
const piece = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .constantFrom('\n', '\n\n', 'a', 'line\n', 'no newline', '\r\n', 'x F y\n')
    .map((text) => Buffer.from(text)),
  fc
    .tuple(fc.integer({ min: 8180, max: 8200 }), fc.boolean())
    .map(([length, newline]) =>
      Buffer.concat([Buffer.alloc(length, 'l'), Buffer.from(newline ? '\n' : '')]),
    ),
  fc.integer({ min: 0, max: 70_000 }).map((length) => Buffer.alloc(length, 'long ')),
);
const writes = fc.array(fc.tuple(fc.constantFrom('stdout' as const, 'stderr' as const), piece), {
  maxLength: 30,
});

describe('writer and reader', () => {
  test('any bytes in any pieces come back, whatever the size of the files', {
    timeout: 60_000,
  }, async () => {
    const limits = fc.constantFrom(0, 2000, 20_000, 100_000);
    await fc.assert(
      fc.asyncProperty(writes, limits, async (all, maxBytes) => {
        for (const name of readdirSync(directory)) rmSync(join(directory, name));
        using log = openCriLog(path, { maxBytes, maxFiles: 100_000 });
        for (const [stream, bytes] of all) log.write(stream, bytes);
        const reader = readCriLog(path);
        const entries = await Array.fromAsync(reader);
        for (const stream of ['stdout', 'stderr'] as const) {
          const expected = Buffer.concat(all.filter(([name]) => name === stream).map(([, b]) => b));
          expect(contentOf(entries, stream).equals(expected)).toBe(true);
        }
        expect([reader.skipped, reader.gaps]).toEqual([0, 0]);
        expect(log.counts).toMatchObject({ entries: entries.length, lost: 0, errno: 0 });
        for (const { bytes, partial } of entries) {
          expect(bytes.at(-1) === 0x0a).toBe(!partial);
          expect(bytes.length).toBeLessThanOrEqual(8193);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('what was read can be gone on with at any entry', async () => {
    using log = openCriLog(path, { maxBytes: 300, maxFiles: 100 });
    for (let i = 0; i < 40; i++) log.write('stdout', Buffer.from(`line ${i}\n`));
    const entries = await readAll();
    expect(entries.length).toBe(40);
    for (const [index, { file, end }] of entries.entries()) {
      const rest = await readAll({ from: { file, offset: end } });
      expect(texts(rest)).toEqual(texts(entries.slice(index + 1)));
    }
  });

  test('the last entries, in every number, across files', async () => {
    using log = openCriLog(path, { maxBytes: 300, maxFiles: 100 });
    for (let i = 0; i < 20; i++) log.write('stderr', Buffer.from(`line ${i}\n`));
    const all = texts(await readAll());
    for (let tail = 0; tail <= 22; tail++)
      expect(texts(await readAll({ tail }))).toEqual(all.slice(Math.max(0, 20 - tail)));
  });
});

describe('the writer', () => {
  const line = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z std(out|err) [PF] .*$/;

  test('writes the time of now, the stream and the tag', () => {
    using log = openCriLog(path);
    const before = Date.now();
    log.write('stdout', Buffer.from('whole\npar'));
    log.write('stderr', Buffer.from('other\n'));
    log.write('stdout', Buffer.from('tial\n'));
    const lines = readFileSync(path, 'utf8').split('\n');
    expect(lines.pop()).toBe('');
    for (const each of lines) expect(each).toMatch(line);
    expect(lines.map((each) => each.slice(31))).toEqual([
      'stdout F whole',
      'stdout P par',
      'stderr F other',
      'stdout F tial',
    ]);
    for (const each of lines) {
      const time = Date.parse(each.slice(0, 30));
      expect(time).toBeGreaterThanOrEqual(before - 1);
      expect(time).toBeLessThanOrEqual(Date.now());
    }
  });

  test('keeps files below their size, and not more than so many', () => {
    using log = openCriLog(path, { maxBytes: 1000, maxFiles: 3 });
    for (let i = 0; i < 200; i++) log.write('stdout', Buffer.from(`line ${i}\n`));
    expect(readdirSync(directory).sort()).toEqual(['log', 'log.1', 'log.2']);
    for (const name of readdirSync(directory))
      expect(statSync(join(directory, name)).size).toBeLessThanOrEqual(1000);
    expect(readFileSync(path, 'utf8')).toContain('line 199\n');
    expect(log.counts.rotations).toBeGreaterThan(3);
  });

  test('with one file only, begins it anew', () => {
    using log = openCriLog(path, { maxBytes: 100, maxFiles: 1 });
    for (let i = 0; i < 10; i++) log.write('stdout', Buffer.from(`line ${i}\n`));
    expect(readdirSync(directory)).toEqual(['log']);
    expect(readFileSync(path, 'utf8')).toMatch(/F line 9\n$/);
  });

  test('appends, after it has cut off what a killed writer left of an entry', async () => {
    writeFileSync(path, '2026-01-31T12:00:00.0Z stdout F whole\n2026-01-31T12:00:00.0Z std');
    using log = openCriLog(path);
    log.write('stdout', Buffer.from('next\n'));
    const reader = readCriLog(path);
    expect(texts(await Array.fromAsync(reader))).toEqual(['whole\n', 'next\n']);
    expect(reader.skipped).toBe(0);
  });

  test('does not cut what no writer of ours can have left', async () => {
    writeFileSync(path, Buffer.alloc(20_000, 'x'));
    using log = openCriLog(path);
    log.write('stdout', Buffer.from('next\n'));
    expect(statSync(path).size).toBeGreaterThan(20_000);
    const reader = readCriLog(path);
    expect(texts(await Array.fromAsync(reader))).toEqual(['next\n']);
    expect(reader.skipped).toBe(1);
  });

  test('begins anew under its name after somebody else has moved the file', () => {
    using log = openCriLog(path);
    log.write('stdout', Buffer.from('old\n'));
    renameSync(path, `${path}.moved`);
    log.write('stdout', Buffer.from('still old\n'));
    log.reopen();
    log.write('stdout', Buffer.from('new\n'));
    expect(readFileSync(`${path}.moved`, 'utf8')).toMatch(/still old\n$/);
    expect(readFileSync(path, 'utf8')).toMatch(/^\S+ stdout F new\n$/);
  });

  test('goes on at the end of a file that somebody else has truncated', () => {
    using log = openCriLog(path);
    log.write('stdout', Buffer.from('old\n'));
    truncateSync(path);
    log.write('stdout', Buffer.from('new\n'));
    expect(readFileSync(path, 'utf8')).toMatch(/^\S+ stdout F new\n$/);
  });

  test('follows no link, and writes to regular files alone', () => {
    const target = join(directory, 'target');
    writeFileSync(target, '');
    symlinkSync(target, path);
    expect(() => openCriLog(path)).toThrow(/ELOOP/);
    expect(() => openCriLog('/dev/null')).toThrow(/ENODEV/);
    expect(() => openCriLog(join(directory, 'missing', 'log'))).toThrow(/ENOENT/);
    expect(() => openCriLog(join(directory, 'n'.repeat(250)))).toThrow(/ENAMETOOLONG/);
    expect(() => openCriLog(`${path}\0`)).toThrow();
  });

  test('a rotation does not write through a link under the name of the new file', () => {
    const target = join(directory, 'target');
    writeFileSync(target, 'precious');
    symlinkSync(target, `${path}.new`);
    using log = openCriLog(path, { maxBytes: 60, maxFiles: 2 });
    for (let i = 0; i < 5; i++) log.write('stdout', Buffer.from(`line ${i}\n`));
    expect(readFileSync(target, 'utf8')).toBe('precious');
  });

  test('closed, it is not written to any more; its counts stay', () => {
    const log = openCriLog(path);
    log.write('stdout', Buffer.from('x\n'));
    log.close();
    log.close();
    expect(log.counts.entries).toBe(1);
    expect(() => log.write('stdout', Buffer.from('y\n'))).toThrow(TypeError);
  });

  test('a full disk: whole entries or none, counted, and it goes on when there is space', async () => {
    const script = `
      import { writeFileSync, rmSync } from 'node:fs';
      const { openCriLog } = await import(${JSON.stringify(import.meta.resolve('./cri-log.ts'))});
      const { readCriLog } = await import(${JSON.stringify(import.meta.resolve('./read-cri-log.ts'))});
      const path = process.argv[1] + '/log';
      writeFileSync(process.argv[1] + '/ballast', Buffer.alloc(200_000));
      const log = openCriLog(path, { maxBytes: 0 });
      let failed = 0;
      for (let i = 0; i < 100; i++) {
        try { log.write('stdout', Buffer.alloc(999, 'x').fill(10, 998)); }
        catch (error) { if (error.code !== 'ENOSPC') throw error; failed++; }
      }
      const full = log.counts;
      rmSync(process.argv[1] + '/ballast');
      log.write('stderr', Buffer.from('space again\\n'));
      const reader = readCriLog(path);
      const entries = await Array.fromAsync(reader);
      console.log(JSON.stringify({ failed, full, skipped: reader.skipped, entries: entries.length,
        last: entries.at(-1).bytes.toString(), whole: entries.slice(0, -1).every(({ bytes }) => bytes.length === 999) }));`;
    const { stdout } = await promisify(execFile)('unshare', [
      '--mount',
      'sh',
      '-c',
      'mount -t tmpfs -o size=256k none "$1" && exec "$2" --input-type=module -e "$3" "$1"',
      'sh',
      directory,
      process.execPath,
      script,
    ]);
    const { full, ...told } = JSON.parse(stdout);
    expect(full.lost).toBeGreaterThan(10);
    expect(full).toMatchObject({ entries: 100 - full.lost, errno: 28 });
    expect(told).toEqual({
      failed: full.lost,
      skipped: 0,
      entries: full.entries + 1,
      last: 'space again\n',
      whole: true,
    });
  });
});

describe('the reader', () => {
  const entry = (text: string, time = '2026-01-31T12:00:00.5Z'): string =>
    `${time} stdout F ${text}\n`;

  test('takes what others write: offsets of time, more tags, empty lines', async () => {
    writeFileSync(
      path,
      '2016-10-06T00:17:09.669794202+02:00 stdout F a\n' +
        '2016-10-06T00:17:09Z stderr P:more b\n2016-10-06T00:17:10.1Z stdout F \n',
    );
    const entries = await readAll();
    expect(texts(entries)).toEqual(['a\n', 'b', '\n']);
    expect(entries.map(({ partial }) => partial)).toEqual([false, true, false]);
    expect(entries.map(({ offset }) => offset)).toEqual([0, 47, 84]);
  });

  test.each([
    ['no parts', 'nonsense\n'],
    ['nothing', '\n'],
    ['no content', '2026-01-31T12:00:00Z stdout F\n'],
    ['another stream', '2026-01-31T12:00:00Z stdin F x\n'],
    ['another tag', '2026-01-31T12:00:00Z stdout X x\n'],
    ['a long tag', '2026-01-31T12:00:00Z stdout FX x\n'],
    ['no time', 'yesterday stdout F x\n'],
    ['a line without an end', Buffer.concat([Buffer.alloc(3_000_000, 'y'), Buffer.from('\n')])],
  ])('skips and counts a line with %s', async (_, bad) => {
    writeFileSync(path, entry('before'));
    appendFileSync(path, bad);
    appendFileSync(path, entry('after'));
    const reader = readCriLog(path);
    expect(texts(await Array.fromAsync(reader))).toEqual(['before\n', 'after\n']);
    expect(reader.skipped).toBe(1);
  });

  test('any bytes at all are read to their end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), async (bytes) => {
        writeFileSync(path, Buffer.concat([bytes, Buffer.from(`\n${entry('known')}`)]));
        expect(texts(await readAll()).at(-1)).toBe('known\n');
      }),
    );
  });

  test('leaves out what is older', async () => {
    writeFileSync(
      path,
      entry('old', '2026-01-31T12:00:00Z') + entry('new', '2026-01-31T12:00:01Z'),
    );
    const since = Date.parse('2026-01-31T12:00:00.5Z');
    expect(texts(await readAll({ since }))).toEqual(['new\n']);
  });

  test('no log, and nobody waits for one', async () => {
    await expect(readAll()).rejects.toMatchObject({ code: 'ENOENT' });
    expect(existsSync(path)).toBe(false);
  });

  test('opens no link and no fifo', async () => {
    symlinkSync('/etc/hostname', path);
    await expect(readAll()).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('a position in a file that is gone: from the oldest, and the gap is told', async () => {
    writeFileSync(path, entry('x'));
    const reader = readCriLog(path, { from: { file: '1', offset: 10 } });
    expect(texts(await Array.fromAsync(reader))).toEqual(['x\n']);
    expect(reader.gaps).toBe(1);
  });
});

describe('a follower', () => {
  test('waits for the log to be begun, and has each entry as it is written', async () => {
    const over = new AbortController();
    const reader = readCriLog(path, { follow: true, over: over.signal });
    const entries = reader[Symbol.asyncIterator]();
    const first = entries.next();
    using log = openCriLog(path);
    for (let i = 0; i < 20; i++) {
      log.write('stdout', Buffer.from(`line ${i}\n`));
      const { value } = i === 0 ? await first : await entries.next();
      expect(value?.bytes.toString()).toBe(`line ${i}\n`);
    }
    const last = entries.next();
    log.write('stdout', Buffer.from('the end'));
    over.abort();
    expect((await last).value?.bytes.toString()).toBe('the end');
    expect((await entries.next()).done).toBe(true);
  });

  test('loses nothing over rotations, however many at once', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 12 }),
        async (bursts) => {
          for (const name of readdirSync(directory)) rmSync(join(directory, name));
          using log = openCriLog(path, { maxBytes: 200, maxFiles: 1000 });
          const over = new AbortController();
          const reader = readCriLog(path, { follow: true, over: over.signal });
          const all = Array.fromAsync(reader);
          let written = 0;
          for (const burst of bursts) {
            for (let i = 0; i < burst; i++) log.write('stdout', Buffer.from(`${written++}\n`));
            await new Promise(setImmediate);
          }
          over.abort();
          expect(texts(await all)).toEqual(Array.from({ length: written }, (_, i) => `${i}\n`));
          expect([reader.skipped, reader.gaps]).toEqual([0, 0]);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('goes on in the new file after a rotation by somebody else', async () => {
    using log = openCriLog(path);
    const over = new AbortController();
    const reader = readCriLog(path, { follow: true, over: over.signal });
    const entries = reader[Symbol.asyncIterator]();
    log.write('stdout', Buffer.from('one\n'));
    expect((await entries.next()).value?.bytes.toString()).toBe('one\n');
    const next = entries.next();
    renameSync(path, `${path}.20260131-120000`);
    log.write('stdout', Buffer.from('two\n'));
    log.reopen();
    log.write('stdout', Buffer.from('three\n'));
    expect((await next).value?.bytes.toString()).toBe('two\n');
    expect((await entries.next()).value?.bytes.toString()).toBe('three\n');
    over.abort();
    expect((await entries.next()).done).toBe(true);
  });

  test('starts at the beginning of a file that was truncated', async () => {
    using log = openCriLog(path);
    const over = new AbortController();
    const reader = readCriLog(path, { follow: true, over: over.signal });
    const entries = reader[Symbol.asyncIterator]();
    log.write('stdout', Buffer.from('a long line that goes\n'));
    await entries.next();
    truncateSync(path);
    log.write('stdout', Buffer.from('x\n'));
    expect((await entries.next()).value?.bytes.toString()).toBe('x\n');
    expect(reader.gaps).toBe(1);
    over.abort();
    expect((await entries.next()).done).toBe(true);
  });

  test('ends with the reason of its signal', async () => {
    writeFileSync(path, '');
    const { signal, abort } = abortable();
    const entries = readCriLog(path, { follow: true, signal })[Symbol.asyncIterator]();
    const next = entries.next();
    abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');
  });

  test('left in the middle, it gives everything back', async () => {
    writeFileSync(path, '2026-01-31T12:00:00Z stdout F x\n2026-01-31T12:00:00Z stdout F y\n');
    linkSync(path, `${path}.other`);
    for await (const { bytes } of readCriLog(path, { follow: true })) {
      expect(bytes.toString()).toBe('x\n');
      break;
    }
  });
});

function abortable(): { signal: AbortSignal; abort: (reason: unknown) => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: (reason) => controller.abort(reason) };
}
