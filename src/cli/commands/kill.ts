import { defineCommand } from '../command.ts';
import { CliError, EXIT_OK, UsageError } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { HostState } from '../host-state.ts';
import { openStanding } from '../session.ts';
import { parseSignal } from '../signals.ts';
import { onlyPositional } from '../values.ts';

const SIGKILL = 9;
const SIGTERM = 15;

export const killCommand = defineCommand({
  name: 'kill',
  summary: 'send a signal to a container or one of its processes',
  usage: ['[OPTIONS] ID'],
  description: [
    'Sends a signal to the init process, or to the process named by --pid. A name (TERM, SIGTERM) or a number is taken.',
  ],
  options: {
    ...hostOptions,
    signal: { kind: 'text', short: 's', value: 'SIGNAL', help: 'signal to send (default TERM)' },
    pid: {
      kind: 'number',
      short: 'p',
      value: 'PID',
      min: 1,
      max: 4_194_304,
      help: 'only this process',
    },
  },
  examples: [
    ['kill web', 'SIGTERM to its init'],
    ['kill -s HUP -p 123 web', 'SIGHUP to one process'],
  ],
  async run(values, positionals, io) {
    const id = onlyPositional(positionals, 'the ID of the container');
    const text = values.signal ?? 'TERM';
    const signal = parseSignal(text);
    if (signal === undefined) throw new UsageError(`--signal: no signal is called "${text}"`);
    await using session = await openStanding(values, io);
    const container = session.guest.container(id);
    const pid = values.pid ?? new HostState(session.path).load(id)?.pid;
    if (pid !== undefined) {
      if (await container.process(pid).signal(signal)) return EXIT_OK;
      throw new CliError(`process ${pid} of ${id} has ended`);
    }
    if (signal !== SIGTERM && signal !== SIGKILL) {
      throw new CliError(
        `the pid of ${id}’s init is not known here; see "gcsctl ps ${id}" and give --pid`,
      );
    }
    if (await container.shutdown(signal === SIGTERM ? 'graceful' : 'forced')) return EXIT_OK;
    throw new CliError(`container ${id} does not run`);
  },
});
