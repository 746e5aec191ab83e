import { existsSync } from 'node:fs';
import { type ContainerId, type Runtime, RuntimeError } from '../runtime.ts';

export type CheckpointSupport = Awaited<ReturnType<Runtime['checkpointSupport']>>;

/** What sd_booted(3) looks at. */
const systemdDirectory = '/run/systemd/system';

/** RuntimeError 'not-supported' where no systemd runs that could make a cgroup. */
export function requireSystemd(id: ContainerId): void {
  if (existsSync(systemdDirectory)) return;
  throw new RuntimeError(
    'not-supported',
    `the cgroup manager is to be systemd, and it does not run here: there is no ${systemdDirectory}`,
    { operation: 'create', containerId: id },
  );
}

/** RuntimeError 'not-supported' with the reason where CRIU cannot do its work. */
export async function requireCriu(
  runtime: Pick<Runtime, 'checkpointSupport'>,
  operation: 'checkpoint' | 'restore',
  id: ContainerId,
): Promise<void> {
  const support = await runtime.checkpointSupport();
  if (support.supported) return;
  throw new RuntimeError('not-supported', `${operation} is not possible here: ${support.reason}`, {
    operation,
    containerId: id,
  });
}
