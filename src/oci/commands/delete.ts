import { ManagementRequestError } from '../../client/management/index.ts';
import { processStartTime } from '../../os/process.ts';
import { reachAgent } from '../agent.ts';
import { defineOciCommand, oneId } from '../command.ts';
import { OciError } from '../failure.ts';
import { ContainerDirectory, type ContainerRecord } from '../records.ts';

export const deleteCommand = defineOciCommand({
  name: 'delete',
  summary: 'remove a container that has stopped',
  usage: '[OPTIONS] ID',
  words: oneId,
  options: { force: { kind: 'flag', short: 'f', help: 'also one that runs (SIGKILL)' } },
  async run({ force }, [id = ''], globals) {
    const directory = new ContainerDirectory(globals.root, id);
    const record = force ? directory.read() : directory.require();
    if (record === undefined) {
      directory.remove(); // A create that was killed left it.
      return 0;
    }
    await deleteInAgent(record, force);
    directory.remove();
    return 0;
  },
});

async function deleteInAgent(record: ContainerRecord, force: boolean): Promise<void> {
  const { id } = record;
  try {
    await using client = await reachAgent(record.agent);
    await client.call('container.delete', { id, force });
  } catch (error) {
    if (error instanceof ManagementRequestError && error.code === 'container-not-found') return;
    if (!(error instanceof OciError) || !force) throw error;
    // No agent, so no container: what is left of it is the process that stood for it.
    if (isAlive(record.standIn)) process.kill(record.standIn.pid, 'SIGKILL');
  }
}

function isAlive({ pid, startTime }: ContainerRecord['standIn']): boolean {
  return processStartTime(pid) === startTime;
}
