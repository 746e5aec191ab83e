import type { OptionSpec, OptionTable, OptionValues } from '../cli/options.ts';
import type { Globals } from './globals.ts';

/** One command of an OCI runtime's command line. */
export interface OciCommand<T extends OptionTable = OptionTable> {
  readonly name: string;
  readonly summary: string;
  /** What follows the name. */
  readonly usage: string;
  readonly options: T;
  /** See ParseOptions.commandAt. */
  readonly commandAt?: number;
  /** How many words may follow the options: runtimes judge that before all else. */
  readonly words: { readonly min: number; readonly max: number };
  /** Of failures that are none of its usage: what is put before the reason, and the exit code (default 1). */
  readonly failure?: { readonly prefix: string; readonly code: number };
  /** Resolves with the exit code. */
  run(values: OptionValues<T>, words: readonly string[], globals: Globals): Promise<number>;
}

/** Ties a command's option table to the types its `run` sees. */
export function defineOciCommand<const T extends OptionTable>(command: OciCommand<T>): OciCommand {
  return command as unknown as OciCommand;
}

/** Most commands take a container's id and nothing else. */
export const oneId = { min: 1, max: 1 } as const;

/** Of commands that list. */
export const formatOption = {
  kind: 'choice',
  short: 'f',
  value: 'FORMAT',
  of: ['table', 'json'],
  help: 'table (default) or json',
} as const satisfies OptionSpec;
