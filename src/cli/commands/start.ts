import { attach } from '../attach.ts';
import { defineCommand } from '../command.ts';
import { interactiveOption } from '../common-options.ts';
import { findContainer } from '../door/names.ts';
import { openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { attached } from '../door/process.ts';
import { CliError, EXIT_OK, UsageError } from '../exit-codes.ts';
import { jsonOption, printJson } from '../output.ts';
import { onlyPositional } from '../values.ts';

export const startCommand = defineCommand({
  name: 'start',
  summary: 'start a created container and attach to it',
  usage: ['[OPTIONS] ID'],
  description: [
    'Starts the command of a created container with its streams connected to this terminal, and exits with its code. The container stays until "gcsctl rm".',
    'With --detach it goes on by itself: what it writes is in its log ("gcsctl logs"), and "gcsctl attach" joins it.',
  ],
  options: {
    ...doorOptions,
    interactive: interactiveOption,
    detach: { kind: 'flag', short: 'd', help: 'do not attach; print the pid and return' },
    json: jsonOption,
  },
  completes: 'container',
  examples: [
    ['start -i web', 'start it with stdin, stdout and stderr here'],
    ['start -d web', 'let it run by itself'],
  ],
  exitCodes: [['other', 'attached: exit code of the command, 128+N when signal N ended it']],
  async run(values, positionals, io) {
    const word = onlyPositional(positionals, 'the ID of the container');
    const { detach, interactive } = values;
    if (detach && interactive)
      throw new UsageError('--detach and --interactive exclude each other');
    if (values.json && !detach) throw new UsageError('--json goes with --detach');
    await using door = await openDoor(values, io);
    const { client, signal, signals } = door;
    const id = await findContainer(door, word);
    const { status, terminal } = await client.call('container.state', { id }, { signal });
    requireCreated(id, status);
    if (detach) {
      const { pid } = await client.call('container.start', { id }, { signal });
      if (values.json) printJson(io, { id, pid });
      else io.stdout.write(`${pid}\n`);
      return EXIT_OK;
    }
    const wanted = { stdin: interactive, stdout: true, stderr: !terminal };
    const init = await client.start(id, wanted, { signal });
    const kill = () => client.call('container.signal', { id, signal: 9, all: true });
    return await attach(attached(init), { io, signals, terminal, kill });
  },
});

/** Else the answer would be in the words of the runtime, and name no remedy. */
function requireCreated(id: string, status: string): void {
  if (status === 'created') return;
  if (status === 'running' || status === 'paused') {
    throw new CliError(`${id} runs already: "gcsctl attach ${id}" joins it`);
  }
  throw new CliError(
    `${id} is ${status}, and a container runs once: "gcsctl create" makes another`,
  );
}
