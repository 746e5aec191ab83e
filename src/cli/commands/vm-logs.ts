import { createReadStream, existsSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { defineCommand } from '../command.ts';
import { CliError, EXIT_OK, UsageError } from '../exit-codes.ts';
import { vmDirectory } from '../vm-target.ts';

export const vmLogsCommand = defineCommand({
  name: 'vm logs',
  summary: 'print the log of a virtual machine’s agent, or its console’s',
  usage: ['[OPTIONS] [NAME]'],
  description: ['Also of a VM that has ended, until "vm down" or the next "vm up".'],
  completes: 'vm',
  options: {
    console: { kind: 'flag', short: 'c', help: 'kernel, init and agent, as on the console' },
    host: { kind: 'flag', help: 'what the vsock device and QEMU said' },
  },
  examples: [
    ['vm logs', 'of the agent in the VM "default"'],
    ['vm logs --console web', 'all that stood on the console'],
  ],
  async run(values, [name, ...more], io) {
    if (more.length > 0) throw new UsageError(`unexpected argument "${more[0]}"`);
    const directory = vmDirectory(name, io);
    const file = values.console
      ? directory.consoleLog
      : values.host
        ? directory.supervisorLog
        : directory.agentLog;
    if (!existsSync(file)) throw new CliError(`there is no VM "${directory.name}": gcsctl vm list`);
    for (const path of [`${file}.1`, file]) {
      if (existsSync(path)) await pipeline(createReadStream(path), io.stdout, { end: false });
    }
    return EXIT_OK;
  },
});
