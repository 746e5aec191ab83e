import { defineCommand } from '../command.ts';
import { findContainer } from '../door/names.ts';
import { type Door, openDoor } from '../door/open.ts';
import { doorOptions } from '../door/options.ts';
import { EXIT_OK } from '../exit-codes.ts';
import type { Io } from '../io.ts';
import { jsonOption, printable, printJson, printTable } from '../output.ts';
import { onlyPositional } from '../values.ts';

export const topCommand = defineCommand({
  name: 'top',
  summary: 'list the processes of a container',
  usage: ['[OPTIONS] ID'],
  description: [
    'Lists every process inside, with its pid in the guest, the name by which the agent knows it when it is init or was started by exec, and its command line.',
  ],
  options: { ...doorOptions, json: jsonOption },
  completes: 'container',
  examples: [
    ['top web', 'a table'],
    ['top --json web', '[{"pid":123,"init":true,"commandLine":["httpd","-f"],…}]'],
  ],
  async run(values, positionals, io) {
    const word = onlyPositional(positionals, 'the ID of the container');
    await using door = await openDoor(values, io);
    await printProcesses(door, await findContainer(door, word), values.json, io);
    return EXIT_OK;
  },
});

export async function printProcesses(
  { client, signal }: Door,
  id: string,
  json: boolean,
  io: Io,
): Promise<void> {
  const { processes } = await client.call('container.processes', { id }, { signal });
  const rows = processes
    .map((each) => ({ ...each, init: each.processId === 'init' }))
    .sort((a, b) => a.pid - b.pid);
  if (json) {
    printJson(io, rows);
    return;
  }
  printTable(
    io,
    ['PID', 'NAME', 'COMMAND'],
    rows.map((row) => [
      String(row.pid),
      row.processId ?? '',
      row.zombie ? '(ended, not collected)' : printable(row.commandLine.join(' ')),
    ]),
  );
}
