import { defineCommand } from '../command.ts';
import { forEachContainer, someIds } from '../door/names.ts';
import { openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';

export const rmCommand = defineCommand({
  name: 'rm',
  aliases: ['delete'],
  summary: 'remove containers that do not run',
  usage: ['[OPTIONS] ID…'],
  description: [
    'Removes containers with their bundles and logs in the guest. Root file systems stay.',
  ],
  options: {
    ...doorOptions,
    force: { kind: 'flag', short: 'f', help: 'kill those that run' },
  },
  completes: 'containers',
  examples: [
    ['rm web', 'one that has ended'],
    ['rm --force web db', 'whatever they do'],
    ['rm $(gcsctl ps -aq --filter status=stopped)', 'all that have ended'],
  ],
  async run(values, positionals, io) {
    const words = someIds(positionals);
    await using door = await openDoor(values, io);
    const { client, signal } = door;
    return await forEachContainer(door, words, io, (id) =>
      client.call('container.delete', { id, force: values.force }, { signal }),
    );
  },
});
