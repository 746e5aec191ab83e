import { signalNumber } from '../../os/signals.ts';
import { defineCommand } from '../command.ts';
import { forEachContainer, someIds } from '../door/names.ts';
import { type Door, openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { processWithPid } from '../door/processes.ts';
import { CliError, UsageError } from '../exit-codes.ts';

export const killCommand = defineCommand({
  name: 'kill',
  summary: 'send a signal to containers or one of their processes',
  usage: ['[OPTIONS] ID…'],
  description: [
    'Sends a signal to the init process, to every process with --all, or to one that was started by exec. A name (TERM, SIGTERM) or a number is taken.',
  ],
  options: {
    ...doorOptions,
    signal: { kind: 'text', short: 's', value: 'SIGNAL', help: 'signal to send (default TERM)' },
    all: { kind: 'flag', short: 'a', help: 'to every process, also those that fork meanwhile' },
    pid: {
      kind: 'number',
      short: 'p',
      value: 'PID',
      min: 1,
      max: 4_194_304,
      help: 'only this process: init or one of "gcsctl exec"',
    },
    'process-id': { kind: 'text', value: 'NAME', help: 'only this process, by its name' },
  },
  completes: 'containers',
  examples: [
    ['kill web', 'SIGTERM to its init'],
    ['kill -s HUP --process-id watch web', 'SIGHUP to one process'],
    ['kill -s KILL --all web', 'the end of all'],
  ],
  async run(values, positionals, io) {
    const words = someIds(positionals);
    const { pid, all } = values;
    const name = values['process-id'];
    const text = values.signal ?? 'TERM';
    const number = signalNumber(text);
    if (number === undefined) throw new UsageError(`--signal: no signal is called "${text}"`);
    if ([pid !== undefined, name !== undefined, all].filter(Boolean).length > 1) {
      throw new UsageError('--all, --pid and --process-id exclude each other');
    }
    await using door = await openDoor(values, io);
    return await forEachContainer(door, words, io, async (id) => {
      const processId = pid === undefined ? name : await processWithPid(door, id, pid);
      if (processId !== undefined) await signalProcess(door, id, processId, number);
      else await signalContainer(door, id, number, all);
    });
  },
});

async function signalProcess(door: Door, containerId: string, processId: string, number: number) {
  const { client, signal } = door;
  await client.call('process.signal', { containerId, processId, signal: number }, { signal });
}

async function signalContainer(door: Door, id: string, number: number, all: boolean) {
  const { client, signal } = door;
  const request = { id, signal: number, ...(all ? { all } : {}) };
  const { failed } = await client.call('container.signal', request, { signal });
  const [first] = failed;
  if (first !== undefined) {
    throw new CliError(
      `${id}: the signal did not reach ${failed.length} processes: ${first.pid}: ${first.message}`,
    );
  }
}
