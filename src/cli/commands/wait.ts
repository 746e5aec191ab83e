import { GuestError } from '../../client/errors.ts';
import { defineCommand } from '../command.ts';
import { CliError } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { HostState } from '../host-state.ts';
import { jsonOption, printJson } from '../output.ts';
import { interruptBySignal, openStanding } from '../session.ts';
import { onlyPositional } from '../values.ts';

const WAIT_TIMEOUT = 0xc0370109;

export const waitCommand = defineCommand({
  name: 'wait',
  summary: 'wait for a container’s init or another process, exit with its code',
  usage: ['[OPTIONS] ID'],
  description: ['Waits until the process has ended, also when it ended long ago.'],
  options: {
    ...hostOptions,
    pid: { kind: 'number', short: 'p', value: 'PID', min: 1, max: 4_194_304, help: 'this process' },
    limit: {
      kind: 'number',
      value: 'SECONDS',
      min: 0,
      max: 4_294_967,
      fraction: true,
      help: 'give up after this time',
    },
    json: jsonOption,
  },
  examples: [
    ['wait web', 'until its init has ended'],
    ['wait --limit 5 --json web', '{"id":"web","pid":123,"exitCode":0}'],
  ],
  exitCodes: [['other', 'exit code of the process, 128+N when signal N ended it']],
  async run(values, positionals, io) {
    const id = onlyPositional(positionals, 'the ID of the container');
    const abort = new AbortController();
    using _signals = interruptBySignal(abort);
    await using session = await openStanding(values, io, abort.signal);
    const pid = values.pid ?? new HostState(session.path).load(id)?.pid;
    if (pid === undefined) {
      throw new CliError(
        `the pid of ${id}’s init is not known here; see "gcsctl ps ${id}" and give --pid`,
      );
    }
    const limit = values.limit === undefined ? {} : { timeoutMs: values.limit * 1000 };
    try {
      const process = session.guest.container(id).process(pid);
      const exitCode = await process.wait({ ...limit, signal: abort.signal });
      if (values.json) printJson(io, { id, pid, exitCode });
      return exitCode;
    } catch (error) {
      if (!(error instanceof GuestError && error.hresult === WAIT_TIMEOUT)) throw error;
      throw new CliError(`process ${pid} of ${id} still runs after ${values.limit} s`);
    }
  },
});
