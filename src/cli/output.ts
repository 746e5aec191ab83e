import { stringifyJson } from '../json.ts';
import type { Io } from './io.ts';

/** Writes one JSON document and a newline; 64-bit integers stay exact. */
export function printJson(io: Io, value: unknown): void {
  io.stdout.write(`${stringifyJson(value)}\n`);
}

/** The same over several lines, for a document that people read as well. */
export function printPrettyJson(io: Io, value: unknown): void {
  io.stdout.write(`${stringifyJson(value, 2)}\n`);
}

/** Writes rows under a heading, columns aligned by their widest cell. */
export function printTable(
  io: Io,
  heading: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  io.stdout.write(`${tableLines(heading, rows).join('\n')}\n`);
}

/** The same as lines without their ends. */
export function tableLines(
  heading: readonly string[],
  rows: readonly (readonly string[])[],
): string[] {
  const all = [heading, ...rows];
  const widths = heading.map((_, column) =>
    Math.max(...all.map((row) => (row[column] ?? '').length)),
  );
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** The option of every command with a result that scripts read. */
export const jsonOption = { kind: 'flag', help: 'print JSON' } as const;

/** For lists: the habit of others beside --json. */
export const formatOption = {
  kind: 'choice',
  value: 'FORMAT',
  of: ['table', 'json'],
  help: 'for people or for programs',
} as const;

export function isJson(values: { json: boolean; format?: string | undefined }): boolean {
  return values.json || values.format === 'json';
}

/** What a container chose the text of, without what a terminal would obey. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(2, '0');
    return character === '\n' ? '\\n' : character === '\t' ? '\\t' : `\\x${code}`;
  });
}
