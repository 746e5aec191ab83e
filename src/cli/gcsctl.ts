import { existsSync, realpathSync } from 'node:fs';
import { commands, internalCommands } from './commands.ts';
import { EXIT_OK, EXIT_USAGE } from './exit-codes.ts';
import { tellFailure } from './failures.ts';
import { commandHelp, generalHelp, groupHelp } from './help.ts';
import { type Io, processIo } from './io.ts';
import { nearest } from './nearest.ts';
import { parseOptions } from './options.ts';

/** Exit code for a fault of gcsctl itself. */
const EXIT_FAULT = 125;

const GROUPS: readonly string[] = ['vm', 'system'];

/** "gcsctl vsock" has a command line of its own and is listed with the others. */
const VSOCK = {
  name: 'vsock',
  summary: 'join one stream of an emulated vsock to stdin and stdout',
};

/**
 * Runs gcsctl with the arguments behind its name; resolves with the exit code and never rejects.
 * What it prints goes to `io`.
 */
export async function main(argv: readonly string[], io: Io = processIo()): Promise<number> {
  const [name, ...rest] = joinVerb(argv);
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    const [topic] = joinVerb(rest);
    if (topic === VSOCK.name) return vsock(['--help']);
    return help(topic, name !== undefined, io);
  }
  if (name === VSOCK.name) return vsock(rest);
  const command = findCommand(name);
  if (command === undefined) {
    const asked = rest.includes('--help') || rest.includes('-h');
    return GROUPS.includes(name) ? groupOf(name, asked, io) : unknownCommand(name, io);
  }
  try {
    const { values, positionals, help } = parseOptions(
      command.options,
      rest,
      command.commandAt === undefined ? {} : { commandAt: command.commandAt },
    );
    if (help) {
      io.stdout.write(commandHelp(command));
      return EXIT_OK;
    }
    return await command.run(values, positionals, io);
  } catch (error) {
    const told = tellFailure(error, command.name);
    if (told !== undefined) {
      if (told.text !== '') io.stderr.write(`${told.text}\n`);
      return told.exitCode;
    }
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    io.stderr.write(`gcsctl: this is a fault of gcsctl itself: ${stack}\n`);
    return EXIT_FAULT;
  }
}

async function vsock(argv: string[]): Promise<number> {
  const { vsockCommand } = await import('./vsock.ts');
  return vsockCommand(argv);
}

/** "vm" and "system" are followed by what to do: together they are the name of a command. */
function joinVerb(argv: readonly string[]): readonly string[] {
  const [name = '', verb, ...rest] = argv;
  if (!GROUPS.includes(name) || verb === undefined) return argv;
  return verb.startsWith('-') ? [name, verb, ...rest] : [`${name} ${verb}`, ...rest];
}

function findCommand(name: string) {
  return [...commands, ...internalCommands].find(
    (command) => command.name === name || command.aliases?.includes(name),
  );
}

function help(topic: string | undefined, asked: boolean, io: Io): number {
  if (topic === undefined) {
    const text = generalHelp([...commands, VSOCK]);
    (asked ? io.stdout : io.stderr).write(text);
    return asked ? EXIT_OK : EXIT_USAGE;
  }
  const command = findCommand(topic);
  if (command === undefined) {
    return GROUPS.includes(topic) ? groupOf(topic, true, io) : unknownCommand(topic, io);
  }
  io.stdout.write(commandHelp(command));
  return EXIT_OK;
}

function groupOf(group: string, asked: boolean, io: Io): number {
  const text = groupHelp(
    group,
    commands.filter(({ name }) => name.startsWith(`${group} `)),
  );
  (asked ? io.stdout : io.stderr).write(text);
  return asked ? EXIT_OK : EXIT_USAGE;
}

function unknownCommand(name: string, io: Io): number {
  const names = [VSOCK.name, ...commands.flatMap((each) => [each.name, ...(each.aliases ?? [])])];
  const guess = nearest(name, names);
  const hint = guess === undefined ? '' : `, did you mean "${guess}"?`;
  io.stderr.write(`gcsctl: unknown command "${name}"${hint}\nSee "gcsctl --help".\n`);
  return EXIT_USAGE;
}

/** True when this file is the program and not imported. */
function isEntry(): boolean {
  const [, program] = process.argv;
  return (
    program !== undefined && existsSync(program) && realpathSync(program) === import.meta.filename
  );
}

// A terminal or a pipe that is still open for reading must not keep a finished command alive.
if (isEntry()) void main(process.argv.slice(2)).then((code) => process.exit(code));
