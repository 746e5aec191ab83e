import { defineCommand } from '../command.ts';
import { forEachContainer, someIds } from '../door/names.ts';
import { openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';

export const pauseCommand = defineCommand({
  name: 'pause',
  summary: 'freeze every process of containers',
  usage: ['[OPTIONS] ID…'],
  description: ['They stay as they are until "gcsctl resume".'],
  options: doorOptions,
  completes: 'containers',
  examples: [['pause web', 'freeze it']],
  async run(values, positionals, io) {
    const words = someIds(positionals);
    await using door = await openDoor(values, io);
    const { client, signal } = door;
    return await forEachContainer(door, words, io, (id) =>
      client.call('container.pause', { id }, { signal }),
    );
  },
});

export const resumeCommand = defineCommand({
  name: 'resume',
  aliases: ['unpause'],
  summary: 'let paused containers go on',
  usage: ['[OPTIONS] ID…'],
  description: ['Thaws every process of containers that were paused.'],
  options: doorOptions,
  completes: 'containers',
  examples: [['resume web', 'let it go on']],
  async run(values, positionals, io) {
    const words = someIds(positionals);
    await using door = await openDoor(values, io);
    const { client, signal } = door;
    return await forEachContainer(door, words, io, (id) =>
      client.call('container.resume', { id }, { signal }),
    );
  },
});
