import { defineCommand } from '../command.ts';
import { findContainers, someIds } from '../door/names.ts';
import { openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { printPrettyJson } from '../output.ts';

export const inspectCommand = defineCommand({
  name: 'inspect',
  summary: 'print all that is known of containers, as JSON',
  usage: ['[OPTIONS] ID…'],
  description: [
    'Prints an array with one object for each: state, exit, specification as the runtime got it, mounts, cgroup and processes. MANAGEMENT.md has the fields (container.inspect).',
  ],
  options: doorOptions,
  completes: 'containers',
  examples: [
    ['inspect web', 'everything'],
    ["inspect web | jq -r '.[0].exit.exitCode'", 'one field'],
  ],
  async run(values, positionals, io) {
    const words = someIds(positionals);
    await using door = await openDoor(values, io);
    const { client, signal } = door;
    const found: unknown[] = [];
    for (const id of await findContainers(door, words)) {
      found.push(await client.call('container.inspect', { id }, { signal }));
    }
    printPrettyJson(io, found);
    return EXIT_OK;
  },
});
