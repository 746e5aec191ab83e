import { agentVersion } from '../agent/version.ts';
import { UsageError } from '../cli/exit-codes.ts';
import { parseOptions } from '../cli/options.ts';
import type { OciCommand } from './command.ts';
import { createCommand } from './commands/create.ts';
import { deleteCommand } from './commands/delete.ts';
import { eventsCommand } from './commands/events.ts';
import { execCommand } from './commands/exec.ts';
import { killCommand } from './commands/kill.ts';
import { listCommand } from './commands/list.ts';
import { pauseCommand, resumeCommand } from './commands/pause.ts';
import { psCommand } from './commands/ps.ts';
import { startCommand } from './commands/start.ts';
import { stateCommand } from './commands/state.ts';
import { updateCommand } from './commands/update.ts';
import { reasonOf, tellFailure } from './failure.ts';
import { type Globals, globalOptions, globalsOf } from './globals.ts';
import { commandHelp, generalHelp } from './help.ts';
import { standIn } from './stand-in/main.ts';

/** Failures of a runtime's command line, as runc has them. */
const EXIT_FAILED = 1;
const EXIT_NO_COMMAND = 3;

const commands: readonly OciCommand[] = [
  createCommand,
  startCommand,
  stateCommand,
  killCommand,
  deleteCommand,
  execCommand,
  psCommand,
  listCommand,
  pauseCommand,
  resumeCommand,
  updateCommand,
  eventsCommand,
];

/** Runs gcs-oci with the arguments behind its name; resolves with the exit code. Never rejects. */
async function main(argv: readonly string[]): Promise<number> {
  // Not a command for people: the process that stands for a container's process.
  if (argv[0] === 'stand-in') return standIn(argv[1] ?? '');
  let globals: Globals | undefined;
  try {
    const parsed = parseOptions(globalOptions, argv, { commandAt: 0 });
    globals = globalsOf(parsed.values, process.env);
    const [name, ...rest] = parsed.positionals;
    if (parsed.values.version) {
      process.stdout.write(`gcs-oci version ${agentVersion}\nspec: 1.0.2-dev\n`);
      return 0;
    }
    if (parsed.help || name === undefined || name === 'help') {
      process.stdout.write(generalHelp(commands));
      return 0;
    }
    const command = commands.find((each) => each.name === name);
    if (command !== undefined) return await runCommand(command, rest, globals);
    tellFailure(`No help topic for '${name}'`, globals, process.stderr);
    return EXIT_NO_COMMAND;
  } catch (error) {
    tellFailure(reasonOf(error), globals, process.stderr);
    return EXIT_FAILED;
  }
}

async function runCommand(
  command: OciCommand,
  argv: readonly string[],
  globals: Globals,
): Promise<number> {
  const { commandAt } = command;
  const { values, positionals, help } = parseOptions(
    command.options,
    argv,
    commandAt === undefined ? {} : { commandAt },
  );
  if (help) {
    process.stdout.write(commandHelp(command));
    return 0;
  }
  const { min, max } = command.words;
  const { length } = positionals;
  if (length < min || length > max) {
    const bound = length < min ? `a minimum of ${min}` : `a maximum of ${max}`;
    const wanted = min === max ? `exactly ${min}` : bound;
    throw new UsageError(`gcs-oci: "${command.name}" requires ${wanted} argument(s)`);
  }
  try {
    return await command.run(values, positionals, globals);
  } catch (error) {
    const { failure } = command;
    if (failure === undefined || error instanceof UsageError) throw error;
    tellFailure(`${failure.prefix}: ${reasonOf(error)}`, globals, process.stderr);
    return failure.code;
  }
}

// A terminal or a pipe that is still open for reading must not keep a finished command alive.
void main(process.argv.slice(2)).then((code) => process.exit(code));
