import { defineCommand } from '../command.ts';
import { CliError, EXIT_OK, UsageError } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { openStanding } from '../session.ts';

export const shutdownCommand = defineCommand({
  name: 'shutdown',
  summary: 'end a container, or the VM when no container is named',
  usage: ['[OPTIONS] ID', '[OPTIONS]'],
  description: [
    'With an ID: SIGTERM to that container (SIGKILL with --force); it stays until "gcsctl delete".',
    'Without one: the VM powers off; outside a VM, the agent ends. Returns when the guest has closed the bridge.',
  ],
  options: {
    ...hostOptions,
    force: { kind: 'flag', short: 'f', help: 'without asking the processes' },
  },
  examples: [
    ['shutdown web', 'ask the container to end'],
    ['shutdown --force', 'the VM, at once'],
  ],
  async run(values, [id, ...more], io) {
    if (more.length > 0) throw new UsageError(`unexpected argument "${more[0]}"`);
    const how = values.force ? 'forced' : 'graceful';
    await using session = await openStanding(values, io);
    if (id === undefined) await session.guest.shutdown(how);
    else if (!(await session.guest.container(id).shutdown(how))) {
      throw new CliError(`container ${id} does not run`);
    }
    return EXIT_OK;
  },
});
