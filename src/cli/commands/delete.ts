import { abortable } from '../../client/abortable.ts';
import type { GuestContainer } from '../../client/container.ts';
import { GuestError } from '../../client/errors.ts';
import { defineCommand } from '../command.ts';
import { CliError, EXIT_OK } from '../exit-codes.ts';
import { hostOptions } from '../host-path.ts';
import { HostState } from '../host-state.ts';
import { openStanding } from '../session.ts';
import { onlyPositional } from '../values.ts';

const INVALID_STATE = 0x80370105;
/** Milliseconds a killed container is given to end. */
const KILL_GRACE_MS = 10_000;

export const deleteCommand = defineCommand({
  name: 'delete',
  aliases: ['rm'],
  summary: 'delete a container that does not run',
  usage: ['[OPTIONS] ID'],
  description: ['Deletes a container and its bundle in the guest. The root file system stays.'],
  options: {
    ...hostOptions,
    force: { kind: 'flag', short: 'f', help: 'kill it first when it runs' },
  },
  examples: [['delete --force web', 'end it and delete it']],
  async run(values, positionals, io) {
    const id = onlyPositional(positionals, 'the ID of the container');
    await using session = await openStanding(values, io);
    const container = session.guest.container(id);
    try {
      await container.delete();
    } catch (error) {
      if (!(error instanceof GuestError && error.hresult === INVALID_STATE)) throw error;
      if (!values.force) {
        throw new CliError(
          `${id} runs: end it with "gcsctl kill ${id}", or delete it with --force`,
          {
            cause: error,
          },
        );
      }
      await killAndDelete(container);
    }
    new HostState(session.path).forget(id);
    return EXIT_OK;
  },
});

async function killAndDelete(container: GuestContainer): Promise<void> {
  // The notification comes when it can be deleted. When it had ended in the meantime there is none.
  const killed = await container.shutdown('forced');
  if (killed) await abortable(container.exited, AbortSignal.timeout(KILL_GRACE_MS));
  await container.delete();
}
