import { defineCommand } from '../command.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { HostState } from '../host-state.ts';
import { jsonOption, printJson } from '../output.ts';
import { interruptBySignal, openStanding } from '../session.ts';
import { onlyPositional } from '../values.ts';
import { attachInit } from './run.ts';

export const startCommand = defineCommand({
  name: 'start',
  summary: 'start a created container and attach to it',
  usage: ['[OPTIONS] ID'],
  description: [
    'Starts the command of a created container with its streams connected to this terminal, and exits with its code. The container stays until "gcsctl delete".',
    'With --detach it gets no streams at all: it reads end of file and its output goes nowhere.',
  ],
  options: {
    ...hostOptions,
    interactive: { kind: 'flag', short: 'i', help: 'connect stdin' },
    detach: { kind: 'flag', short: 'd', help: 'do not attach; print the pid and return' },
    json: jsonOption,
  },
  examples: [
    ['start -i web', 'start it with stdin, stdout and stderr here'],
    ['start -d web', 'let it run by itself'],
  ],
  exitCodes: [['other', 'attached: exit code of the command, 128+N when signal N ended it']],
  async run(values, positionals, io) {
    const id = onlyPositional(positionals, 'the ID of the container');
    const { detach, interactive } = values;
    if (detach && interactive)
      throw new UsageError('--detach and --interactive exclude each other');
    if (values.json && !detach) throw new UsageError('--json goes with --detach');
    const abort = new AbortController();
    using signals = interruptBySignal(abort);
    await using session = await openStanding(values, io, abort.signal);
    const state = new HostState(session.path);
    const terminal = state.load(id)?.terminal ?? false;
    const container = session.guest.container(id, { terminal });
    const streams = detach
      ? { stdin: false, stdout: false, stderr: false }
      : { stdin: interactive };
    const init = await container.start(streams, { signal: abort.signal });
    state.save(id, { terminal, pid: init.pid });
    if (!detach) return await attachInit(container, init, { terminal, signals, io });
    if (values.json) printJson(io, { id, pid: init.pid });
    else io.stdout.write(`${init.pid}\n`);
    return EXIT_OK;
  },
});
