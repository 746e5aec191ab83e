import { setTimeout as delay } from 'node:timers/promises';
import { defineCommand } from '../command.ts';
import { secondsOption } from '../common-options.ts';
import { quietly } from '../door/follow.ts';
import { findContainers } from '../door/names.ts';
import { type Door, openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { formatOption, isJson, jsonOption, printJson, tableLines } from '../output.ts';
import { type Sample, STATISTICS_HEADING, statisticsRow } from '../statistics-table.ts';

const DEFAULT_INTERVAL_S = 1;

export const statsCommand = defineCommand({
  name: 'stats',
  summary: 'show what containers use',
  usage: ['[OPTIONS] [ID…]'],
  description: [
    'At a terminal a table that is drawn anew every second until Ctrl-C; otherwise, or with --no-stream, once. Without an ID it shows all that run.',
    'CPU % is a share of one processor. Memory is without the file pages that the kernel gives back first, and its limit is that of the container or else the memory of the machine.',
    '--json prints every figure the agent sends, one container a line, in the names of cgroup v1 metrics: times are nanoseconds, sizes bytes, and zeros are left out.',
  ],
  options: {
    ...doorOptions,
    'no-stream': { kind: 'flag', help: 'once, also at a terminal' },
    stream: { kind: 'flag', help: 'again and again, also elsewhere and with --json' },
    interval: {
      ...secondsOption,
      short: 'i',
      max: 3600,
      help: `from one look to the next (default ${DEFAULT_INTERVAL_S})`,
    },
    format: formatOption,
    json: jsonOption,
  },
  completes: 'containers',
  examples: [
    ['stats', 'all that run, live'],
    ['stats --no-stream web', 'one look'],
    ['stats --json web', 'every figure'],
  ],
  async run(values, positionals, io) {
    const json = isJson(values);
    if (values.stream && values['no-stream']) {
      throw new UsageError('--stream and --no-stream exclude each other');
    }
    const atTerminal = io.stdout.isTTY === true;
    const repeat = values.stream || (atTerminal && !json && !values['no-stream']);
    const intervalMs = (values.interval ?? DEFAULT_INTERVAL_S) * 1000;
    await using door = await openDoor(values, io);
    const ids = positionals.length === 0 ? undefined : await findContainers(door, positionals);
    const look = new Look(door, ids);
    return await quietly(async () => {
      if (json) await printFigures(look, { repeat, intervalMs }, io);
      else await draw(look, { repeat, intervalMs, atTerminal }, io);
      return EXIT_OK;
    });
  },
});

class Look {
  readonly signal: AbortSignal;
  readonly #door: Door;
  readonly #ids: string[] | undefined;

  constructor(door: Door, ids: string[] | undefined) {
    this.#door = door;
    this.#ids = ids;
    this.signal = door.signal;
  }

  async samples(): Promise<Sample[]> {
    const named = this.#ids === undefined ? {} : { ids: this.#ids };
    return (await this.#door.client.call('container.stats', named, { signal: this.signal })).stats;
  }

  async memoryBytes(): Promise<number> {
    const info = await this.#door.client.call('system.info', {}, { signal: this.signal });
    return Number(info.machine.memoryBytes);
  }

  /** Rejects with what has ended the command. */
  async pause(milliseconds: number): Promise<void> {
    const { signal } = this;
    await delay(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

interface Pace {
  readonly repeat: boolean;
  readonly intervalMs: number;
}

async function printFigures(look: Look, { repeat, intervalMs }: Pace, io: Io): Promise<void> {
  for (;;) {
    for (const { metrics, ...rest } of await look.samples()) {
      printJson(io, { ...metrics, ...rest });
    }
    if (!repeat) return;
    await look.pause(intervalMs);
  }
}

async function draw(look: Look, pace: Pace & { atTerminal: boolean }, io: Io): Promise<void> {
  const memory = await look.memoryBytes();
  const live = pace.repeat && pace.atTerminal;
  let before = new Map<string, Sample>();
  for (let first = true; ; first = false) {
    const samples = await look.samples();
    // A share of time takes two looks: alone, the first one is not shown.
    if (!first || pace.repeat) {
      const rows = samples.map((each) => statisticsRow(each, before.get(each.id), memory));
      const table = tableLines(STATISTICS_HEADING, rows);
      io.stdout.write(live ? screen(table, io) : `${table.join('\n')}\n`);
      if (!pace.repeat) return;
    }
    before = new Map(samples.map((each) => [each.id, each]));
    await look.pause(pace.intervalMs);
  }
}

/** From the top, each line wiped behind its end, and what is below it (ECMA-48: CUP, EL, ED). */
function screen(lines: readonly string[], io: Io): string {
  const { columns = 80, rows = 24 } = io.stdout;
  const shown = lines.slice(0, Math.max(1, rows - 1)).map((line) => line.slice(0, columns));
  return `\x1b[H${shown.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`;
}
