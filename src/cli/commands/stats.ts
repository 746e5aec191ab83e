import type { GuestStatistics } from '../../client/statistics.ts';
import type { Integer } from '../../spec/oci.ts';
import { defineCommand } from '../command.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { jsonOption, printJson, printTable } from '../output.ts';
import { openStanding } from '../session.ts';
import { onlyPositional } from '../values.ts';

/** From here on a limit is what cgroup v1 says for none: the largest multiple of a page in an i64. */
const NO_LIMIT = 2n ** 62n;

export const statsCommand = defineCommand({
  name: 'stats',
  summary: 'show what a container uses',
  usage: ['[OPTIONS] ID'],
  description: [
    'Shows processor time, memory and processes. --json prints every figure the guest sends, in the names of cgroup v1 metrics; times are nanoseconds, sizes bytes, and zeros are left out.',
  ],
  options: { ...hostOptions, json: jsonOption },
  examples: [
    ['stats web', 'a table'],
    ['stats --json web', 'everything'],
  ],
  async run(values, positionals, io) {
    const id = onlyPositional(positionals, 'the ID of the container');
    await using session = await openStanding(values, io);
    const statistics = await session.guest.container(id).stats();
    if (values.json) printJson(io, statistics);
    else printTable(io, ['FIGURE', 'VALUE'], statisticsRows(statistics));
    return EXIT_OK;
  },
});

/** The figures of the table. */
export function statisticsRows(statistics: GuestStatistics): [string, string][] {
  const { cpu, memory, pids } = statistics;
  return [
    ['cpu', seconds(cpu?.usage?.total)],
    ['cpu, user', seconds(cpu?.usage?.user)],
    ['cpu, kernel', seconds(cpu?.usage?.kernel)],
    ['cpu, throttled', seconds(cpu?.throttling?.throttled_time)],
    ['memory', bytes(memory?.usage?.usage)],
    ['memory, most', bytes(memory?.usage?.max)],
    ['memory, limit', limit(memory?.usage?.limit, bytes)],
    ['processes', String(pids?.current ?? 0)],
    ['processes, limit', limit(pids?.limit, String)],
  ];
}

function limit(value: Integer | undefined, show: (value: Integer) => string): string {
  return value === undefined || BigInt(value) >= NO_LIMIT ? 'none' : show(value);
}

function seconds(nanoseconds: Integer = 0): string {
  return `${(Number(nanoseconds) / 1e9).toFixed(3)} s`;
}

function bytes(value: Integer = 0): string {
  let size = Number(value);
  if (size < 1024) return `${size} B`;
  for (const unit of ['KiB', 'MiB', 'GiB']) {
    size /= 1024;
    if (size < 1024) return `${size.toFixed(1)} ${unit}`;
  }
  return `${(size / 1024).toFixed(1)} TiB`;
}
