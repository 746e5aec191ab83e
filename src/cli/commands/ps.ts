import { defineCommand } from '../command.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { HostState } from '../host-state.ts';
import { jsonOption, printJson, printTable } from '../output.ts';
import { openStanding } from '../session.ts';
import { onlyPositional } from '../values.ts';

export const psCommand = defineCommand({
  name: 'ps',
  summary: 'list the processes of a container',
  usage: ['[OPTIONS] ID'],
  description: [
    'Lists the pids of a container as the guest sees them. The protocol tells no more.',
  ],
  options: { ...hostOptions, json: jsonOption },
  examples: [
    ['ps web', 'a table'],
    ['ps --json web', '[{"pid":123,"init":true}]'],
  ],
  async run(values, positionals, io) {
    const id = onlyPositional(positionals, 'the ID of the container');
    await using session = await openStanding(values, io);
    const init = new HostState(session.path).load(id)?.pid;
    const processes = await session.guest.container(id).processes();
    const rows = processes
      .map(({ pid }) => ({ pid, init: pid === init }))
      .sort((a, b) => a.pid - b.pid);
    if (values.json) printJson(io, rows);
    else
      printTable(
        io,
        ['PID', 'ROLE'],
        rows.map((row) => [`${row.pid}`, row.init ? 'init' : '']),
      );
    return EXIT_OK;
  },
});
