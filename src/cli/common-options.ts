import type { OptionSpec } from './options.ts';

/** A time of up to a day; each command says what it is for. */
export const secondsOption = {
  kind: 'number',
  value: 'SECONDS',
  min: 0.1,
  max: 86_400,
  fraction: true,
} as const;

export const interactiveOption = {
  kind: 'flag',
  short: 'i',
  help: 'connect stdin',
} as const satisfies OptionSpec;

export const ttyOption = {
  kind: 'flag',
  short: 't',
  help: 'give the process a terminal',
} as const satisfies OptionSpec;

/** The exit codes of a shell, of commands that run a program. */
export const programExitCodes = [
  ['126', 'the command cannot be executed'],
  ['127', 'the command was not found'],
] as const;
