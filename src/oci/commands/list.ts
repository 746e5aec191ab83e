import { userInfo } from 'node:os';
import { reachAgent } from '../agent.ts';
import { defineOciCommand, formatOption } from '../command.ts';
import { allRecords, type ContainerRecord } from '../records.ts';
import { type StateRow, stateRow } from './state.ts';

export const listCommand = defineOciCommand({
  name: 'list',
  summary: 'list the containers made with this program',
  usage: '[OPTIONS]',
  words: { min: 0, max: 0 },
  options: {
    format: formatOption,
    quiet: { kind: 'flag', short: 'q', help: 'only the ids' },
  },
  async run(values, _words, globals) {
    const records = allRecords(globals.root);
    if (values.quiet) {
      for (const { id } of records) process.stdout.write(`${id}\n`);
      return 0;
    }
    const rows = await rowsOf(records);
    if (values.format === 'json') {
      process.stdout.write(`${JSON.stringify(rows.length === 0 ? null : rows)}\n`);
    } else process.stdout.write(table(rows));
    return 0;
  },
});

async function rowsOf(records: readonly ContainerRecord[]): Promise<StateRow[]> {
  const rows: StateRow[] = [];
  // Whoever made the records is root of this machine, as we are.
  const owner = userInfo().username;
  for (const agent of new Set(records.map((record) => record.agent))) {
    await using client = await reachAgent(agent);
    for (const record of records) {
      if (record.agent === agent) rows.push({ ...(await stateRow(client, record)), owner });
    }
  }
  return rows;
}

/** Of runc's tables, in characters: of a column with its gap, and of the gap. */
const COLUMN_MIN = 12;
const COLUMN_GAP = 3;

const COLUMNS = ['id', 'pid', 'status', 'bundle', 'created', 'owner'] as const;

function table(rows: readonly StateRow[]): string {
  const lines = [
    COLUMNS.map((name) => name.toUpperCase()),
    ...rows.map((row) => COLUMNS.map((name) => String(row[name]))),
  ];
  const widths = COLUMNS.map((_, column) =>
    Math.max(COLUMN_MIN, ...lines.map((line) => (line[column] ?? '').length + COLUMN_GAP)),
  );
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('')
          .trimEnd()}\n`,
    )
    .join('');
}
