import { reachAgent } from '../agent.ts';
import { defineOciCommand, oneId } from '../command.ts';
import { ContainerDirectory } from '../records.ts';

function freezing(name: 'pause' | 'resume', summary: string) {
  return defineOciCommand({
    name,
    summary,
    usage: 'ID',
    words: oneId,
    options: {},
    async run(_values, [id = ''], globals) {
      const record = new ContainerDirectory(globals.root, id).require();
      await using client = await reachAgent(record.agent);
      await client.call(`container.${name}`, { id });
      return 0;
    },
  });
}

export const pauseCommand = freezing('pause', 'freeze every process of a container');
export const resumeCommand = freezing('resume', 'thaw a paused container');
