import { defineCommand } from '../command.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { openStanding } from '../session.ts';
import { noPositionals } from '../values.ts';

export const dumpStacksCommand = defineCommand({
  name: 'dump-stacks',
  summary: 'print the state of the agent, for finding faults',
  usage: ['[OPTIONS]'],
  description: ['Prints what the agent is doing: requests, containers, processes, streams.'],
  options: hostOptions,
  examples: [['dump-stacks', 'the agent on the default path']],
  async run(values, positionals, io) {
    noPositionals(positionals);
    await using session = await openStanding(values, io);
    const text = await session.guest.dumpStacks();
    io.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
    return EXIT_OK;
  },
});
