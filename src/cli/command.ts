import type { Io } from './io.ts';
import type { OptionTable, OptionValues } from './options.ts';

/** One gcsctl command: what it is called, what it takes and what it does. */
export interface Command<T extends OptionTable = OptionTable> {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** One line for the list of commands. */
  readonly summary: string;
  /** Arguments behind the name, one usage line each: "[OPTIONS] ID". */
  readonly usage: readonly string[];
  /** Paragraphs of the help text. */
  readonly description: readonly string[];
  readonly options: T;
  /** Command line (without "gcsctl") and what it does. */
  readonly examples: readonly (readonly [command: string, meaning: string])[];
  /** Exit codes beyond the general ones. */
  readonly exitCodes?: readonly (readonly [code: string, meaning: string])[];
  /** What the shell is to offer for the arguments; default: file names. */
  readonly completes?: 'container' | 'containers' | 'vm' | 'nothing';
  /** See ParseOptions.commandAt. */
  readonly commandAt?: number;
  /** Resolves with the exit code. Throws UsageError, CliError, GuestError or BridgeError. */
  run(values: OptionValues<T>, positionals: readonly string[], io: Io): Promise<number>;
}

/** Ties a command's option table to the types its `run` sees. */
export function defineCommand<const T extends OptionTable>(command: Command<T>): Command {
  return command as unknown as Command;
}
