import { defineOciCommand, oneId } from '../command.ts';
import { OciError } from '../failure.ts';
import { connectTo, readJsonLine, writeJsonLine } from '../json-line.ts';
import { ContainerDirectory } from '../records.ts';
import type { ControlReply } from '../stand-in/plan.ts';

export const startCommand = defineOciCommand({
  name: 'start',
  summary: 'start the process of a created container',
  usage: 'ID',
  words: oneId,
  options: {},
  async run(_values, [id = ''], globals) {
    const directory = new ContainerDirectory(globals.root, id);
    directory.require();
    const socket = await connectTo(directory.controlSocket).catch((error: unknown) => {
      throw new OciError(`cannot start a container that has stopped (${String(error)})`);
    });
    try {
      writeJsonLine(socket, { request: 'start' });
      const reply = (await readJsonLine(socket)) as ControlReply | undefined;
      if (reply === undefined) throw new OciError('cannot start a container that has stopped');
      if ('error' in reply) throw new OciError(reply.error);
      return 0;
    } finally {
      socket.destroy();
    }
  },
});
