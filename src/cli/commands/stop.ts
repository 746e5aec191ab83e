import { defineCommand } from '../command.ts';
import { secondsOption } from '../common-options.ts';
import { forEachContainer, someIds } from '../door/names.ts';
import { openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';

export const stopCommand = defineCommand({
  name: 'stop',
  summary: 'end containers: the stop signal first, SIGKILL when that does not help',
  usage: ['[OPTIONS] ID…'],
  description: [
    'Sends the container’s stop signal (SIGTERM unless it was created with another), waits, and kills what is left. Succeeds for a container that has ended already. It stays until "gcsctl rm".',
  ],
  options: {
    ...doorOptions,
    time: {
      ...secondsOption,
      short: 't',
      min: 0,
      help: 'how long the stop signal is given (default 10; 0: SIGKILL at once)',
    },
  },
  completes: 'containers',
  examples: [
    ['stop web db', 'two of them'],
    ['stop -t 0 web', 'at once'],
  ],
  async run(values, positionals, io) {
    const words = someIds(positionals);
    await using door = await openDoor(values, io);
    const { client, signal } = door;
    const grace = values.time === undefined ? {} : { timeoutMs: Math.round(values.time * 1000) };
    return await forEachContainer(door, words, io, (id) =>
      client.call('container.stop', { id, ...grace }, { signal }),
    );
  },
});
