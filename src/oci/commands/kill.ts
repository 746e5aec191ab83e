import { type ManagementClient, ManagementRequestError } from '../../client/management/index.ts';
import { reachAgent } from '../agent.ts';
import { defineOciCommand } from '../command.ts';
import { OciError } from '../failure.ts';
import { ContainerDirectory } from '../records.ts';
import { parseSignal } from './signals.ts';

/** kill(2) with signal 0. */
async function requireRunning(client: ManagementClient, id: string): Promise<void> {
  const { status } = await client.call('container.state', { id });
  if (status === 'stopped') throw new OciError('container not running');
}

function hasStopped(error: unknown): boolean {
  return error instanceof ManagementRequestError && error.code === 'container-not-running';
}

export const killCommand = defineOciCommand({
  name: 'kill',
  summary: 'send a signal to the process of a container',
  usage: '[OPTIONS] ID [SIGNAL]',
  words: { min: 1, max: 2 },
  options: { all: { kind: 'flag', short: 'a', help: 'to every process of the container' } },
  async run({ all }, [id = '', signal = 'SIGTERM'], globals) {
    const record = new ContainerDirectory(globals.root, id).require();
    await using client = await reachAgent(record.agent);
    const number = parseSignal(signal);
    try {
      if (number === 0) await requireRunning(client, id);
      else await client.call('container.signal', { id, signal: number, all });
    } catch (error) {
      // Every process of a container that has none got it.
      if (!all || !hasStopped(error)) throw error;
    }
    return 0;
  },
});
