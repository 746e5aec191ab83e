import type { Command } from './command.ts';
import type { OptionSpec } from './options.ts';

/** One word the shell may put in, and what it means. */
export interface Candidate {
  readonly word: string;
  readonly meaning: string;
}

/** What the shell is to offer: words, file names, or what only an agent or the disk knows. */
export interface Offer {
  readonly candidates: readonly Candidate[];
  readonly source: 'words' | 'files' | 'containers' | 'vms' | 'signals';
  /** What stands before the word to be completed in the same argument: "--vm=". */
  readonly before: string;
  /** Options for reaching the agent that were given already. */
  readonly address: { readonly host?: string; readonly vm?: string };
}

const GROUPS = ['vm', 'system'];

/** `words`: those behind the program's name, the last one still being typed, perhaps empty. */
export function offerFor(
  commands: readonly Pick<
    Command,
    'name' | 'aliases' | 'summary' | 'options' | 'completes' | 'commandAt'
  >[],
  words: readonly string[],
): Offer {
  const [first = '', ...more] = words;
  const named = (entries: readonly Candidate[], typed: string) =>
    offer({ candidates: entries.filter(({ word }) => word.startsWith(typed)) });
  if (more.length === 0) return named(topLevel(commands), first);
  if (GROUPS.includes(first) && more.length === 1) {
    return named(verbsOf(commands, first), more[0] ?? '');
  }
  const [name, rest] = GROUPS.includes(first)
    ? [`${first} ${more[0]}`, more.slice(1)]
    : [first, more];
  if (name === 'help') return named(topLevel(commands), rest.at(-1) ?? '');
  const command = commands.find((each) => each.name === name || each.aliases?.includes(name));
  if (command === undefined) return offer({ source: 'files' });
  return offerInCommand(command, rest);
}

function topLevel(commands: readonly { name: string; summary: string }[]): Candidate[] {
  const groups = GROUPS.map((word) => ({ word, meaning: `${word} …` }));
  const single = commands
    .filter(({ name }) => !name.includes(' '))
    .map(({ name, summary }) => ({ word: name, meaning: summary }));
  return [...single, ...groups, { word: 'help', meaning: 'explain a command' }];
}

function verbsOf(
  commands: readonly { name: string; summary: string }[],
  group: string,
): Candidate[] {
  return commands
    .filter(({ name }) => name.startsWith(`${group} `))
    .map(({ name, summary }) => ({ word: name.slice(group.length + 1), meaning: summary }));
}

function offerInCommand(
  command: Pick<Command, 'options' | 'completes' | 'commandAt'>,
  words: readonly string[],
): Offer {
  const typed = words.at(-1) ?? '';
  const scan = scanned(command, words.slice(0, -1));
  const { address } = scan;
  if (scan.open !== undefined)
    return { ...ofValue(scan.open.name, scan.open.spec, typed), address };
  if (scan.inCommand) return offer({ source: 'files', address });
  const inline = /^(--([\w-]+)=)(.*)$/s.exec(typed);
  if (inline !== null) {
    const [, before = '', name = '', value = ''] = inline;
    const spec = command.options[name];
    if (spec === undefined || spec.kind === 'flag') return offer({ address });
    return { ...ofValue(name, spec, value), before, address };
  }
  if (typed.startsWith('-')) {
    return offer({ address, candidates: optionsOf(command, typed) });
  }
  if (command.commandAt !== undefined && scan.positionals >= command.commandAt) {
    return offer({ source: 'files', address });
  }
  if (command.completes === 'vm') return offer({ source: 'vms', address });
  if (command.completes === 'containers') return offer({ source: 'containers', address });
  if (command.completes === 'container' && scan.positionals === 0) {
    return offer({ source: 'containers', address });
  }
  if (command.completes === 'nothing' || command.completes === 'container')
    return offer({ address });
  return offer({ source: 'files', address });
}

interface Scan {
  /** An option whose value comes next. */
  readonly open: { readonly name: string; readonly spec: OptionSpec } | undefined;
  readonly positionals: number;
  /** What follows belongs to the command to run. */
  readonly inCommand: boolean;
  readonly address: Offer['address'];
}

function scanned(
  { options, commandAt }: Pick<Command, 'options' | 'commandAt'>,
  words: readonly string[],
): Scan {
  let open: Scan['open'];
  let positionals = 0;
  const address: { host?: string; vm?: string } = {};
  for (const word of words) {
    if (open !== undefined) {
      if (open.name === 'host' || open.name === 'vm') address[open.name] = word;
      open = undefined;
    } else if (word === '--') {
      return { open, positionals, inCommand: true, address };
    } else if (word.startsWith('-') && word !== '-') {
      const assigned = /^--(host|vm)=(.*)$/s.exec(word);
      if (assigned !== null) address[assigned[1] as 'host' | 'vm'] = assigned[2] ?? '';
      open = valueAfter(options, word);
    } else {
      positionals += 1;
      if (commandAt !== undefined && positionals > commandAt) {
        return { open, positionals, inCommand: true, address };
      }
    }
  }
  return { open, positionals, inCommand: false, address };
}

/** The option that takes the next word as its value. */
function valueAfter(options: Command['options'], word: string): Scan['open'] {
  if (word.startsWith('--')) {
    const name = word.slice(2);
    const spec = Object.hasOwn(options, name) ? options[name] : undefined;
    return spec === undefined || spec.kind === 'flag' ? undefined : { name, spec };
  }
  // "-it", "-n5", "-itn": the first letter that takes a value takes the rest of the word, or the next.
  for (const [index, letter] of [...word.slice(1)].entries()) {
    const found = Object.entries(options).find(([, spec]) => spec.short === letter);
    if (found === undefined || found[1].kind === 'flag') continue;
    return index === word.length - 2 ? { name: found[0], spec: found[1] } : undefined;
  }
  return undefined;
}

function ofValue(name: string, spec: OptionSpec, typed: string): Offer {
  if (spec.kind === 'choice') {
    const values = spec.of.filter((value) => value.startsWith(typed));
    return offer({ candidates: values.map((word) => ({ word, meaning: '' })) });
  }
  if (spec.kind === 'number') return offer({});
  if (name === 'vm') return offer({ source: 'vms' });
  if (name === 'signal' || name === 'stop-signal') return offer({ source: 'signals' });
  return offer({ source: 'files' });
}

function optionsOf({ options }: Pick<Command, 'options'>, typed: string): Candidate[] {
  const all = Object.entries(options).flatMap(([name, spec]) => {
    const on = { word: `--${name}`, meaning: spec.help };
    const off = { word: `--no-${name}`, meaning: `not: ${spec.help}` };
    return spec.kind === 'flag' && spec.default === true ? [on, off] : [on];
  });
  return [...all, { word: '--help', meaning: 'explain it' }].filter(({ word }) =>
    word.startsWith(typed),
  );
}

function offer(parts: Partial<Offer>): Offer {
  return { candidates: [], source: 'words', before: '', address: {}, ...parts };
}
