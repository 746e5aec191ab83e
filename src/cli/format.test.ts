import { describe, expect, it } from 'vitest';
import {
  ago,
  binaryBytes,
  type ContainerState,
  decimalBytes,
  spanInWords,
  statusText,
} from './format.ts';
import { printable } from './output.ts';
import { type Sample, statisticsRow } from './statistics-table.ts';
import { parseTime } from './times.ts';

const S = 1000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

describe('a span of time', () => {
  it.each([
    [-5 * S, 'less than a second'],
    [999, 'less than a second'],
    [S, '1 second'],
    [59 * S, '59 seconds'],
    [M, '1 minute'],
    [3 * M + 59 * S, '3 minutes'],
    [H, 'about an hour'],
    [2 * H, '2 hours'],
    [47 * H, '47 hours'],
    [2 * D, '2 days'],
    [15 * D, '2 weeks'],
    [70 * D, '2 months'],
    [800 * D, '2 years'],
  ])('of %i ms is "%s"', (span, words) => {
    expect(spanInWords(span)).toBe(words);
    expect(ago(0, span)).toBe(`${words} ago`);
  });
});

describe('the status of a container', () => {
  const base: ContainerState = {
    ...{ id: 'a', status: 'running', pid: 7, startTime: 1, bundle: '/b', runtime: 'runc' },
    ...{ terminal: false, createdAt: 0, startedAt: 0, annotations: {} },
  };
  const exit = {
    exitCode: 137,
    signal: 9,
    finishedAt: 0,
    oomKilled: true,
    reason: 'ended by SIGKILL',
  };

  it.each<[Partial<ContainerState>, string]>([
    [{}, 'Up 5 minutes'],
    [{ status: 'paused' }, 'Up 5 minutes (paused)'],
    [{ status: 'created' }, 'Created'],
    [{ status: 'stopped', exit }, 'Exited (137) 5 minutes ago (out of memory)'],
    [
      {
        status: 'stopped',
        exit: { exitCode: 255, finishedAt: 0, oomKilled: false, reason: 'nobody saw it' },
      },
      'Exited (255) 5 minutes ago (nobody saw it)',
    ],
  ])('%j is "%s"', (changes, text) => {
    expect(statusText({ ...base, ...changes }, 5 * M)).toBe(text);
  });
});

it.each([
  [0, '0B', '0B'],
  [1023, '1023B', '1.02kB'],
  [1024, '1.00KiB', '1.02kB'],
  [10.5 * 1024 * 1024, '10.5MiB', '11.0MB'],
  [2n ** 40n, '1.00TiB', '1.10TB'],
])('%s bytes are %s and %s', (value, binary, decimal) => {
  expect(binaryBytes(value)).toBe(binary);
  expect(decimalBytes(value)).toBe(decimal);
});

it('what a container named cannot move the cursor', () => {
  expect(printable('a\x1b[2Jb\nc\td')).toBe('a\\x1b[2Jb\\nc\\td');
});

describe('a row of the statistics', () => {
  const sample = (at: number, total: number, metrics: object = {}): Sample => ({
    ...{ id: 'a', at, oomKills: 0, network: [] },
    metrics: { cpu: { usage: { total } }, ...metrics },
  });

  it('has the share of one processor since the look before', () => {
    const [, share] = statisticsRow(sample(2000, 1.75e9), sample(1000, 1e9), 1e9);
    expect(share).toBe('75.00%');
    expect(statisticsRow(sample(2000, 1e9), undefined, 1e9)[1]).toBe('--');
    // The same id may be another container by now.
    expect(statisticsRow(sample(2000, 0), sample(1000, 1e9), 1e9)[1]).toBe('0.00%');
  });

  it('has memory without idle file pages, of the limit or the machine', () => {
    const memory = { usage: { usage: 3 << 20, limit: 8 << 20 }, total_inactive_file: 1 << 20 };
    const row = statisticsRow(sample(1, 0, { memory }), undefined, 1 << 30);
    expect(row.slice(2, 4)).toEqual(['2.00MiB / 8.00MiB', '25.00%']);
    const none = { usage: { usage: 512, limit: 9223372036854771712n } };
    expect(statisticsRow(sample(1, 0, { memory: none }), undefined, 1 << 30)[2]).toBe(
      '512B / 1.00GiB',
    );
  });

  it('sums interfaces and disks, and shows a limit of processes where there is one', () => {
    const each = { rxBytes: 500, txBytes: 20, rxPackets: 0, txPackets: 0, rxErrors: 0 };
    const card = { ...each, txErrors: 0, rxDropped: 0, txDropped: 0 };
    const io = [
      { op: 'Read', value: 1000 },
      { op: 'Write', value: 7n },
      { op: 'read', value: 500 },
      { op: 'Total', value: 1507 },
    ];
    const metrics = { pids: { current: 3, limit: 20 }, blkio: { io_service_bytes_recursive: io } };
    const both = {
      ...sample(1, 0, metrics),
      network: [
        { name: 'a', ...card },
        { name: 'b', ...card },
      ],
    };
    expect(statisticsRow(both, undefined, 1).slice(4)).toEqual([
      '1.00kB / 40B',
      '1.50kB / 7B',
      '3 / 20',
    ]);
    expect(statisticsRow(sample(1, 0, { pids: { current: 3 } }), undefined, 1).at(-1)).toBe('3');
  });
});

describe('a time on the command line', () => {
  const now = Date.UTC(2026, 0, 31, 12);

  it.each([
    ['10s', now - 10 * S],
    ['1h30m', now - 90 * M],
    ['250ms', now - 250],
    ['2d', now - 2 * D],
    ['1769860800', 1769860800000],
    ['1769860800.5', 1769860800500],
    ['2026-01-31T11:00:00Z', now - H],
    ['2026-01-31T12:00:00+01:00', now - H],
    ['2026-01-31', new Date(2026, 0, 31).getTime()],
  ])('"%s"', (text, moment) => {
    expect(parseTime('--since', text, now)).toBe(moment);
  });

  it.each(
    ['', 'yesterday', '10', '10x', '2026-13-45', '-5m'].filter((text) => text !== '10'),
  )('not "%s"', (text) => {
    expect(() => parseTime('--since', text, now)).toThrow('--since is a time like');
  });
});
