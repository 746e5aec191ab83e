import type { Command } from './command.ts';
import type { OptionSpec } from './options.ts';

const GENERAL_CODES: readonly (readonly [string, string])[] = [
  ['0', 'success'],
  ['2', 'the command line is wrong'],
  ['125', 'gcsctl, the agent or the connection between them failed'],
];

/** The text of "gcsctl --help". */
export function generalHelp(commands: readonly { name: string; summary: string }[]): string {
  return lines([
    'gcsctl – the host of a guest agent, from the command line',
    '',
    'Usage: gcsctl COMMAND [OPTIONS] [ARGUMENTS]',
    '',
    'Commands:',
    ...columns(commands.map((command) => [command.name, command.summary])),
    '',
    '"gcsctl COMMAND --help" explains one command.',
    '',
    'A first container, with a private agent that lives as long as the command does:',
    '  gcsctl run -it --rootfs ./rootfs -- /bin/sh',
    '',
    'Exit codes:',
    ...columns([
      ...GENERAL_CODES,
      ['126', 'run, exec: the program cannot be executed'],
      ['127', 'run, exec: the program was not found'],
      ['other', 'run, start, exec, vm-exec, wait: exit code of the process, 128+N for signal N'],
    ]),
  ]);
}

/** The text of "gcsctl GROUP --help", for a first word that needs a second one. */
export function groupHelp(
  group: string,
  commands: readonly { name: string; summary: string }[],
): string {
  return lines([
    `Usage: gcsctl ${group} COMMAND [OPTIONS] [ARGUMENTS]`,
    '',
    'Commands:',
    ...columns(commands.map((command) => [command.name, command.summary])),
    '',
    `"gcsctl ${group} COMMAND --help" explains one command.`,
  ]);
}

/** The text of "gcsctl COMMAND --help". */
export function commandHelp(command: Command): string {
  const usage = command.usage.map((text) => `gcsctl ${command.name} ${text}`.trimEnd());
  const [first = `gcsctl ${command.name}`, ...more] = usage;
  const names = command.aliases ?? [];
  return lines([
    `gcsctl ${command.name} – ${command.summary}`,
    '',
    `Usage: ${first}`,
    ...more.map((text) => `       ${text}`),
    ...(names.length === 0 ? [] : ['', `Also called: ${names.join(', ')}`]),
    ...command.description.flatMap((paragraph) => ['', ...wrap(paragraph, 80)]),
    '',
    'Options:',
    ...columns([...Object.entries(command.options).map(optionRow), ['-h, --help', 'this text']]),
    '',
    'Examples:',
    ...command.examples.flatMap(([text, meaning]) => [`  # ${meaning}`, `  gcsctl ${text}`]),
    '',
    'Exit codes:',
    ...columns([...GENERAL_CODES, ...(command.exitCodes ?? [])]),
  ]);
}

function optionRow([name, spec]: [string, OptionSpec]): [string, string] {
  const short = spec.short === undefined ? '    ' : `-${spec.short}, `;
  const value = spec.kind === 'flag' ? '' : ` ${spec.value}`;
  const notes: string[] = [];
  if (spec.kind === 'choice') notes.push(`one of ${spec.of.join(', ')}`);
  if (spec.kind === 'list') notes.push('may be repeated');
  if (spec.kind === 'flag' && spec.default === true)
    notes.push(`default; --no-${name} turns it off`);
  const note = notes.length === 0 ? '' : ` (${notes.join('; ')})`;
  return [`${short}--${name}${value}`, spec.help + note];
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  const indent = ' '.repeat(width + 4);
  return rows.flatMap(([left, right]) => {
    const [first = '', ...rest] = wrap(right, Math.max(40, 96 - width));
    return [`  ${left.padEnd(width)}  ${first}`, ...rest.map((line) => indent + line)];
  });
}

function wrap(text: string, width: number): string[] {
  const result: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      result.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  result.push(line);
  return result;
}

function lines(all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}
