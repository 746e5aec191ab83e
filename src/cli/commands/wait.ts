import { ManagementRequestError } from '../../client/management/errors.ts';
import type { Result } from '../../management/contract.ts';
import { defineCommand } from '../command.ts';
import { secondsOption } from '../common-options.ts';
import { findContainers, someIds } from '../door/names.ts';
import { type Door, openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { processWithPid } from '../door/processes.ts';
import { CliError, EXIT_OK, UsageError } from '../exit-codes.ts';
import { jsonOption, printJson } from '../output.ts';

export const waitCommand = defineCommand({
  name: 'wait',
  summary: 'wait for the end of containers, print their exit codes',
  usage: ['[OPTIONS] ID…'],
  description: [
    'Waits until init, or another process, has ended, also when it ended long ago, and prints its exit code. For one container that is the exit code of gcsctl, too; for several it is 0.',
  ],
  options: {
    ...doorOptions,
    pid: { kind: 'number', short: 'p', value: 'PID', min: 1, max: 4_194_304, help: 'this process' },
    'process-id': { kind: 'text', value: 'NAME', help: 'this process, by its name' },
    limit: {
      ...secondsOption,
      min: 0,
      help: 'give up after this time',
    },
    json: jsonOption,
  },
  completes: 'containers',
  examples: [
    ['wait web', 'until its init has ended'],
    ['wait --limit 5 --json web', '{"id":"web","pid":123,"exitCode":0}'],
  ],
  exitCodes: [['other', 'exit code of the process, 128+N when signal N ended it']],
  async run(values, positionals, io) {
    const words = someIds(positionals);
    const { pid, limit } = values;
    const name = values['process-id'];
    const one = words.length === 1;
    if (!one && (pid !== undefined || name !== undefined)) {
      throw new UsageError('--pid and --process-id are for one container');
    }
    await using door = await openDoor(values, io);
    let code = EXIT_OK;
    for (const id of await findContainers(door, words)) {
      const processId = pid === undefined ? (name ?? 'init') : await processWithPid(door, id, pid);
      const ended = await waitFor(door, { id, processId, limit });
      if (values.json) printJson(io, { id, pid: ended.pid, exitCode: ended.exit.exitCode });
      else io.stdout.write(`${ended.exit.exitCode}\n`);
      if (one) code = ended.exit.exitCode;
    }
    return code;
  },
});

interface Awaited {
  readonly id: string;
  readonly processId: string;
  /** Seconds. */
  readonly limit: number | undefined;
}

async function waitFor(
  { client, signal }: Door,
  { id, processId, limit }: Awaited,
): Promise<{ pid: number; exit: Result<'process.wait'> }> {
  const named = { containerId: id, processId };
  const { pid } = await client.call('process.state', named, { signal });
  const bound = limit === undefined ? {} : { timeoutMs: Math.round(limit * 1000) };
  try {
    return { pid, exit: await client.call('process.wait', { ...named, ...bound }, { signal }) };
  } catch (error) {
    if (!(error instanceof ManagementRequestError && error.code === 'timeout')) throw error;
    throw new CliError(`${processId} of ${id} still runs after ${limit} s`, { cause: error });
  }
}
