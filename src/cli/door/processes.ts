import { CliError } from '../exit-codes.ts';
import type { Door } from './open.ts';

/** Name of the process with this pid in the guest. Throws CliError when the agent did not start it. */
export async function processWithPid(
  { client, signal }: Door,
  containerId: string,
  pid: number,
): Promise<string> {
  const { processes } = await client.call('process.list', { containerId }, { signal });
  // A pid may have been used before: the latest is meant.
  const found = processes.findLast((process) => process.pid === pid);
  if (found !== undefined) return found.processId;
  throw new CliError(
    `${pid} is no process of ${containerId} that the agent started: see "gcsctl top ${containerId}"`,
  );
}
