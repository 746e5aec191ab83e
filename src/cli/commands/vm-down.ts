import { defineCommand } from '../command.ts';
import { secondsOption } from '../common-options.ts';
import { EXIT_OK, UsageError } from '../exit-codes.ts';
import { vmDirectory } from '../vm-target.ts';

export const vmDownCommand = defineCommand({
  name: 'vm down',
  summary: 'end a virtual machine and remove what it left',
  usage: ['[OPTIONS] [NAME]'],
  description: [
    'Asks the agent to power the guest off, so that it writes and unmounts its file systems. A guest that does not answer or does not end in time is ended by QEMU. Succeeds when no VM of that name is left.',
  ],
  completes: 'vm',
  options: {
    force: { kind: 'flag', short: 'f', help: 'do not ask the guest' },
    timeout: {
      ...secondsOption,
      help: 'for the guest to power off (default 30)',
    },
  },
  examples: [
    ['vm down', 'the VM "default"'],
    ['vm down --force web', 'at once'],
  ],
  async run(values, [name, ...more], io) {
    if (more.length > 0) throw new UsageError(`unexpected argument "${more[0]}"`);
    const directory = vmDirectory(name, io);
    const { takeDown } = await import('../vm-down.ts');
    const how = await takeDown(directory, {
      force: values.force,
      timeoutMs: (values.timeout ?? 30) * 1000,
    });
    io.stderr.write(`${directory.name}: ${how}\n`);
    return EXIT_OK;
  },
});
