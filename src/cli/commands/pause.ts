import { defineCommand } from '../command.ts';
import { forEachContainer, someIds } from '../door/names.ts';
import { openDoor } from '../door/open.ts';
import { type DoorAddress, doorOptions } from '../door/options.ts';
import type { Io } from '../io.ts';

export const pauseCommand = defineCommand({
  name: 'pause',
  summary: 'freeze every process of containers',
  usage: ['[OPTIONS] ID…'],
  description: ['They stay as they are until "gcsctl resume".'],
  options: doorOptions,
  completes: 'containers',
  examples: [['pause web', 'freeze it']],
  run: (...given) => forEach('container.pause', ...given),
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
  run: (...given) => forEach('container.resume', ...given),
});

async function forEach(
  method: 'container.pause' | 'container.resume',
  address: DoorAddress,
  positionals: readonly string[],
  io: Io,
): Promise<number> {
  const words = someIds(positionals);
  await using door = await openDoor(address, io);
  const { client, signal } = door;
  return await forEachContainer(door, words, io, (id) => client.call(method, { id }, { signal }));
}
