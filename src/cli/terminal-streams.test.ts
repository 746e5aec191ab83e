/** What stands between a container's streams and the user's: detach keys, logs. */
import { Readable, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DetachFilter, parseDetachKeys } from './detach-filter.ts';
import type { Io } from './io.ts';
import { LogSplitter } from './log-splitter.ts';

describe('detach keys', () => {
  it.each([
    ['ctrl-p,ctrl-q', [0x10, 0x11]],
    ['ctrl-]', [0x1d]],
    ['ctrl-@,a', [0, 0x61]],
    ['', undefined],
  ])('"%s"', (text, bytes) => {
    expect(parseDetachKeys(text)).toEqual(bytes === undefined ? undefined : Buffer.from(bytes));
  });

  async function typed(keys: string, chunks: readonly string[]) {
    let detached = 0;
    const filter = new DetachFilter(Buffer.from(keys), () => {
      detached += 1;
    });
    const passed = buffer(filter);
    for (const chunk of chunks) filter.write(Buffer.from(chunk));
    filter.end();
    return { passed: (await passed).toString(), detached: detached > 0 };
  }

  it('leave, typed at once or one by one, and what is behind them goes nowhere', async () => {
    expect(await typed('PQ', ['aPQb'])).toEqual({ passed: 'a', detached: true });
    expect(await typed('PQ', ['aP', 'Q', 'b'])).toEqual({ passed: 'a', detached: true });
  });

  it('pass on what only began like them', async () => {
    expect(await typed('PQ', ['P', 'x', 'PPx', 'P'])).toEqual({
      passed: 'PxPPxP',
      detached: false,
    });
    expect(await typed('PPQ', ['PPPQ'])).toEqual({ passed: 'P', detached: true });
    expect(await typed('ABAC', ['ABABAC'])).toEqual({ passed: 'AB', detached: true });
  });

  it('any input in any parts is passed up to the keys', async () => {
    const letters = fc
      .array(fc.constantFrom('A', 'B', 'C'), { maxLength: 12 })
      .map((all) => all.join(''));
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('A', 'B'), { minLength: 1, maxLength: 4 }),
        fc.array(letters, { maxLength: 6 }),
        async (keys, chunks) => {
          const all = chunks.join('');
          const at = all.indexOf(keys.join(''));
          expect(await typed(keys.join(''), chunks)).toEqual(
            at < 0
              ? { passed: all, detached: false }
              : { passed: all.slice(0, at), detached: true },
          );
        },
      ),
    );
  });
});

describe('a log', () => {
  async function shown(
    log: string,
    options: { timestamps?: boolean; until?: number; chunk?: number } = {},
  ) {
    const texts = { stdout: '', stderr: '' };
    const sink = (name: 'stdout' | 'stderr') =>
      new Writable({
        highWaterMark: 1,
        write(chunk, _encoding, done) {
          texts[name] += chunk;
          setImmediate(done);
        },
      });
    const io = { stdout: sink('stdout'), stderr: sink('stderr') } as unknown as Io;
    const { chunk = 7, timestamps = false, until } = options;
    const data = Buffer.from(log);
    const parts = Array.from({ length: Math.ceil(data.length / chunk) }, (_, index) =>
      data.subarray(index * chunk, (index + 1) * chunk),
    );
    await pipeline(Readable.from(parts), new LogSplitter(io, { timestamps, until }));
    return texts;
  }

  const log = [
    '2026-01-31T12:00:00.000000001Z stdout F out  two spaces',
    '2026-01-31T12:00:01.000000000Z stderr P begun, ',
    '2026-01-31T12:00:02.000000000Z stdout F ',
    '2026-01-31T12:00:03.000000000Z stderr F ended ü',
    '',
  ].join('\n');

  it('goes to the streams it came from, whatever its parts', async () => {
    for (const chunk of [1, 7, 1000]) {
      expect(await shown(log, { chunk })).toEqual({
        stdout: 'out  two spaces\n\n',
        stderr: 'begun, ended ü\n',
      });
    }
  });

  it('knows the tags of others, and leaves out what is no entry', async () => {
    const others = [
      '2016-10-06T00:17:09.669794202+02:00 stdout P:more a',
      'nonsense',
      '',
      '2016-10-06T00:17:10Z stdout F:more:still b',
      '',
    ].join('\n');
    expect(await shown(others)).toEqual({ stdout: 'ab\n', stderr: '' });
  });

  it('has the time of each line once, also of one in parts', async () => {
    expect(await shown(log, { timestamps: true })).toEqual({
      stdout: '2026-01-31T12:00:00.000000001Z out  two spaces\n2026-01-31T12:00:02.000000000Z \n',
      stderr: '2026-01-31T12:00:01.000000000Z begun, ended ü\n',
    });
  });

  it('ends before a time', async () => {
    const until = Date.parse('2026-01-31T12:00:01Z');
    expect(await shown(log, { until })).toEqual({ stdout: 'out  two spaces\n', stderr: '' });
  });
});
