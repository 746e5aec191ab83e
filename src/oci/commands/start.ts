import { reachAgent } from '../agent.ts';
import { defineOciCommand, oneId } from '../command.ts';
import { OciError } from '../failure.ts';
import { connectTo, readJsonLine, writeJsonLine } from '../json-line.ts';
import { ContainerDirectory, type ContainerRecord } from '../records.ts';
import type { ControlReply } from '../stand-in/plan.ts';
import { stateRow } from './state.ts';

export const startCommand = defineOciCommand({
  name: 'start',
  summary: 'start the process of a created container',
  usage: 'ID',
  words: oneId,
  options: {},
  async run(_values, [id = ''], globals) {
    const directory = new ContainerDirectory(globals.root, id);
    const record = directory.require();
    const failed = await askStandIn(directory.controlSocket);
    if (failed === undefined) return 0;
    throw new OciError((await wrongState(record)) ?? failed);
  },
});

/** Resolves with why it could not be started. */
async function askStandIn(path: string): Promise<string | undefined> {
  let reply: ControlReply | undefined;
  try {
    const socket = await connectTo(path);
    writeJsonLine(socket, { request: 'start' });
    reply = (await readJsonLine(socket)) as ControlReply | undefined;
    socket.destroy();
  } catch (error) {
    return `the process that stands for it does not answer, delete it: ${String(error)}`;
  }
  if (reply === undefined) return 'the process that stands for it has ended, delete it';
  return 'error' in reply ? reply.error : undefined;
}

/** What runtimes say when the state of the container is why it cannot be started. */
async function wrongState(record: ContainerRecord): Promise<string | undefined> {
  await using client = await reachAgent(record.agent);
  const { status } = await stateRow(client, record);
  switch (status) {
    case 'running':
      return 'cannot start an already running container';
    case 'paused':
      return 'cannot start a container in the paused state';
    case 'stopped':
      return 'cannot start a container that has stopped';
    default:
      return undefined;
  }
}
