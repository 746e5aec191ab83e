import { reachAgent } from '../agent.ts';
import { defineOciCommand } from '../command.ts';
import { ContainerDirectory } from '../records.ts';
import { parseSignal } from './signals.ts';

export const killCommand = defineOciCommand({
  name: 'kill',
  summary: 'send a signal to the process of a container',
  usage: '[OPTIONS] ID [SIGNAL]',
  words: { min: 1, max: 2 },
  options: { all: { kind: 'flag', short: 'a', help: 'to every process of the container' } },
  async run({ all }, [id = '', signal = 'SIGTERM'], globals) {
    const record = new ContainerDirectory(globals.root, id).require();
    await using client = await reachAgent(record.agent);
    await client.call('container.signal', { id, signal: parseSignal(signal), all });
    return 0;
  },
});
