import { stringifyJson } from '../json.ts';
import type { Io } from './io.ts';

/** Writes one JSON document and a newline; 64-bit integers stay exact. */
export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${stringifyJson(value)}\n`);
}

/** Writes rows under a heading, columns aligned by their widest cell. */
export function printTable(
  io: Io,
  heading: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const all = [heading, ...rows];
  const widths = heading.map((_, column) =>
    Math.max(...all.map((row) => (row[column] ?? '').length)),
  );
  for (const row of all) {
    const cells = row.map((cell, column) => cell.padEnd(widths[column] ?? 0));
    io.stdout.write(`${cells.join('  ').trimEnd()}\n`);
  }
}

/** The option of every command with a result that scripts read. */
export const jsonOption = { kind: 'flag', help: 'print JSON' } as const;
