import { execFile } from 'node:child_process';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CriEntry, readCriLog } from '../../test/support/cri-log.ts';
import { requireNothingLeft } from '../../test/support/process-suite.ts';
import { openCriLog } from './cri-log.ts';

requireNothingLeft();

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-log-'));
  path = join(directory, 'log');
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** A stream as its entries tell it. */
function contentOf(entries: readonly CriEntry[], stream: 'stdout' | 'stderr'): Buffer {
  return Buffer.concat(entries.filter((each) => each.stream === stream).map(({ bytes }) => bytes));
}

const texts = (entries: readonly CriEntry[]): string[] =>
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
  }, () => {
    const limits = fc.constantFrom(0, 2000, 20_000, 100_000);
    fc.assert(
      fc.property(writes, limits, (all, maxBytes) => {
        for (const name of readdirSync(directory)) rmSync(join(directory, name));
        using log = openCriLog(path, { maxBytes, maxFiles: 100_000 });
        for (const [stream, bytes] of all) log.write(stream, bytes);
        const entries = readCriLog(path);
        for (const stream of ['stdout', 'stderr'] as const) {
          const expected = Buffer.concat(all.filter(([name]) => name === stream).map(([, b]) => b));
          expect(contentOf(entries, stream).equals(expected)).toBe(true);
        }
        expect(log.counts).toMatchObject({ entries: entries.length, lost: 0, errno: 0 });
        for (const { bytes } of entries) expect(bytes.length).toBeLessThanOrEqual(8193);
      }),
      { numRuns: 30 },
    );
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

  test('appends, after it has cut off what a killed writer left of an entry', () => {
    const entry = '2026-01-31T12:00:00.000000000Z stdout F whole\n';
    writeFileSync(path, `${entry}2026-01-31T12:00:00.0Z std`);
    using log = openCriLog(path);
    log.write('stdout', Buffer.from('next\n'));
    expect(texts(readCriLog(path))).toEqual(['whole\n', 'next\n']);
  });

  test('does not cut what no writer of ours can have left', () => {
    const foreign = 'x'.repeat(20_000);
    writeFileSync(path, foreign);
    using log = openCriLog(path);
    log.write('stdout', Buffer.from('next\n'));
    const [first, second] = readFileSync(path, 'utf8').split('\n');
    expect(first).toBe(foreign);
    expect(second).toMatch(/^\S+ stdout F next$/);
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
      const { readCriLog } = await import(${JSON.stringify(import.meta.resolve('../../test/support/cri-log.ts'))});
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
      const entries = readCriLog(path);
      console.log(JSON.stringify({ failed, full, entries: entries.length,
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
      entries: full.entries + 1,
      last: 'space again\n',
      whole: true,
    });
  });
});
