import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { requireNothingLeft } from '../../../test/support/process-suite.ts';
import { openCriLog } from '../../stdio/cri-log.ts';
import { LogFeed, type LogRequest } from './feed.ts';

requireNothingLeft();

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-log-'));
  path = join(directory, 'a.log');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const never = new AbortController().signal;

function line(text: string, time = '2026-01-31T12:00:00.000000001Z'): string {
  return `${time} stdout F ${text}\n`;
}

async function read(request: Omit<LogRequest, 'path'> = {}): Promise<string> {
  const out = new PassThrough();
  const content = text(out);
  await new LogFeed({ path, ...request }, out, never).run();
  out.end();
  return content;
}

/** Reads and follows until `end` is called. */
function following(signal = never, request: Omit<LogRequest, 'path'> = {}) {
  const out = new PassThrough();
  const over = Promise.withResolvers<void>();
  const done = new LogFeed({ path, until: over.promise, ...request }, out, signal).run();
  let seen = '';
  const waiting: { length: number; resolve: () => void }[] = [];
  out.on('data', (chunk: Buffer) => {
    seen += chunk;
    for (const each of waiting) if (seen.length >= each.length) each.resolve();
  });
  return {
    out,
    done,
    end: over.resolve,
    seen: () => seen,
    async until(length: number): Promise<void> {
      if (seen.length >= length) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ length, resolve });
      await promise;
    },
  };
}

describe('reading', () => {
  test('gives what was rotated first, oldest first', async () => {
    writeFileSync(`${path}.10`, line('one'));
    writeFileSync(`${path}.2`, line('two'));
    writeFileSync(`${path}.1`, line('three'));
    writeFileSync(path, line('four'));
    writeFileSync(`${path}.bak`, line('no'));
    expect(await read()).toBe(['one', 'two', 'three', 'four'].map((word) => line(word)).join(''));
  });

  test('from an offset gives the current file alone', async () => {
    writeFileSync(`${path}.1`, line('old'));
    writeFileSync(path, line('a') + line('b'));
    expect(await read({ offset: line('a').length })).toBe(line('b'));
  });

  test.each([
    [0, ''],
    [1, 'd'],
    [2, 'cd'],
    [3, 'bcd'],
    [9, 'abcd'],
  ])('the last %i lines, across files', async (tail, words) => {
    writeFileSync(`${path}.2`, line('a'));
    writeFileSync(`${path}.1`, line('b'));
    writeFileSync(path, line('c') + line('d'));
    expect(await read({ tail })).toBe([...words].map((word) => line(word)).join(''));
  });

  test('the last lines of a log as it was written, in every number', async () => {
    using log = openCriLog(path, { maxBytes: 300, maxFiles: 100 });
    for (let number = 0; number < 20; number += 1) {
      log.write('stderr', Buffer.from(`line ${number}\n`));
    }
    expect(log.counts.rotations).toBeGreaterThan(1);
    const lines = (await read()).match(/.*\n/g) ?? [];
    expect(lines).toHaveLength(20);
    for (let tail = 0; tail <= 22; tail += 1) {
      expect(await read({ tail })).toBe(lines.slice(Math.max(0, 20 - tail)).join(''));
    }
  });

  test('the last lines of a file larger than what is read at once', async () => {
    const lines = Array.from({ length: 5000 }, (_, index) => line(`number ${index}`));
    writeFileSync(path, lines.join(''));
    expect(await read({ tail: 3000 })).toBe(lines.slice(2000).join(''));
  });

  test('from a time on, to the millisecond', async () => {
    const lines = [
      '2026-01-31T12:00:00.000999999Z',
      '2026-01-31T12:00:00.001000000Z',
      '2026-01-31T12:00:01Z',
    ];
    writeFileSync(path, lines.map((time) => line('x', time)).join(''));
    const since = Date.parse('2026-01-31T12:00:00.001Z');
    expect(await read({ since })).toBe(
      lines
        .slice(1)
        .map((time) => line('x', time))
        .join(''),
    );
  });

  test('opens no link, and waits for no fifo', async () => {
    symlinkSync('/etc/hostname', path);
    await expect(read()).rejects.toMatchObject({ code: 'ELOOP' });
    rmSync(path);
    execFileSync('mkfifo', [path]);
    await expect(read()).rejects.toMatchObject({ code: 'not-supported' });
  });

  test('a log there is not is said', async () => {
    await expect(read()).rejects.toMatchObject({ code: 'path-not-found' });
  });
});

describe('in the middle of a rotation, when the new file has not got its name yet', () => {
  test('what was rotated is read', async () => {
    writeFileSync(`${path}.2`, line('a'));
    writeFileSync(`${path}.1`, line('b'));
    expect(await read()).toBe(line('a') + line('b'));
    expect(await read({ tail: 1 })).toBe(line('b'));
    expect(await read({ offset: line('b').length })).toBe('');
  });

  test('a follower goes on in the new file', async () => {
    writeFileSync(`${path}.1`, line('a'));
    const feed = following();
    await feed.until(line('a').length);
    writeFileSync(path, line('b'));
    await feed.until(2 * line('a').length);
    feed.end();
    await feed.done;
    expect(feed.seen()).toBe(line('a') + line('b'));
  });
});

describe('following', () => {
  test('gives what is written, and ends when the container has', async () => {
    writeFileSync(path, line('a'));
    const feed = following();
    await feed.until(line('a').length);
    appendFileSync(path, line('b'));
    await feed.until(2 * line('a').length);
    appendFileSync(path, line('c'));
    feed.end();
    const words = ['a', 'b', 'c'].map((word) => line(word)).join('');
    expect(await feed.done).toEqual({ bytes: words.length, nextOffset: words.length });
    expect(feed.seen()).toBe(words);
  });

  test('loses nothing and repeats nothing while a writer rotates', async () => {
    using log = openCriLog(path, { maxBytes: 2000, maxFiles: 1000 });
    const feed = following();
    for (let number = 0; number < 2000; number += 1) {
      log.write('stdout', Buffer.from(`line ${number}\n`));
      if (number % 50 === 0) await new Promise(setImmediate);
    }
    feed.end();
    await feed.done;
    expect(log.counts.rotations).toBeGreaterThan(40);
    const numbers = [...feed.seen().matchAll(/ line (\d+)\n/g)].map((match) => Number(match[1]));
    expect(numbers).toEqual(Array.from({ length: 2000 }, (_, index) => index));
  });

  test('loses nothing over rotations, however many at once', { timeout: 60_000 }, async () => {
    const bursts = fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(bursts, async (sizes) => {
        for (const name of readdirSync(directory)) rmSync(join(directory, name));
        using log = openCriLog(path, { maxBytes: 200, maxFiles: 1000 });
        const feed = following();
        let written = 0;
        for (const size of sizes) {
          for (let i = 0; i < size; i += 1) log.write('stdout', Buffer.from(`${written++}\n`));
          await new Promise(setImmediate);
        }
        feed.end();
        await feed.done;
        const numbers = [...feed.seen().matchAll(/ (\d+)\n/g)].map((match) => Number(match[1]));
        expect(numbers).toEqual(Array.from({ length: written }, (_, index) => index));
      }),
      { numRuns: 30 },
    );
  });

  test('starts at the beginning of a file that was emptied in place', async () => {
    using log = openCriLog(path);
    const feed = following();
    log.write('stdout', Buffer.from('a long line that goes\n'));
    await feed.until(line('a long line that goes').length);
    truncateSync(path);
    log.write('stdout', Buffer.from('x\n'));
    await feed.until(line('a long line that goes').length + line('x').length);
    feed.end();
    await feed.done;
    expect(feed.seen()).toMatch(/^\S+ stdout F a long line that goes\n\S+ stdout F x\n$/);
  });

  test('goes on in the new file when somebody else has moved the old one away', async () => {
    writeFileSync(path, line('a'));
    const feed = following();
    await feed.until(line('a').length);
    renameSync(path, join(directory, 'elsewhere'));
    appendFileSync(join(directory, 'elsewhere'), line('b'));
    await feed.until(2 * line('a').length);
    writeFileSync(path, line('c'));
    await feed.until(3 * line('a').length);
    feed.end();
    await feed.done;
    expect(feed.seen()).toBe(['a', 'b', 'c'].map((word) => line(word)).join(''));
  });

  test('only new lines, with no tail', async () => {
    writeFileSync(path, line('old'));
    const feed = following(never, { tail: 0 });
    appendFileSync(path, line('new'));
    feed.end();
    await feed.done;
    expect(['', line('new')]).toContain(feed.seen().replace(line('old'), ''));
    expect(feed.seen()).not.toContain('old');
  });

  test('ends when the reader has gone, and when it is told to', async () => {
    writeFileSync(path, line('a'));
    const gone = following();
    await gone.until(1);
    gone.out.destroy();
    expect((await gone.done).bytes).toBe(line('a').length);
    const end = new AbortController();
    const told = following(end.signal);
    await told.until(1);
    end.abort();
    await told.done;
  });
});
