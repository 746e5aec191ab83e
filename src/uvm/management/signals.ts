import { constants } from 'node:os';
import { killAll, signalAll } from '../../cgroup/processes.ts';
import type { Container } from '../container.ts';
import { notRunning } from '../container-refusals.ts';
import type { SignalResult } from '../management-types.ts';
import { runtimeFailure } from '../runtime-failure.ts';

const { SIGKILL } = constants.signals;

/**
 * A signal to every process of a container. Where its cgroup cannot be seen the runtime does it,
 * which tells no numbers.
 */
export async function signalEveryProcess(
  container: Container,
  signal: number,
): Promise<SignalResult> {
  if (!container.init.running) throw notRunning(container, 'signal');
  const { cgroup } = container.runtime;
  if (cgroup === undefined) {
    await runtimeFailure('signal', container.id, () =>
      container.runtime.kill(signal, { all: true }),
    );
    return { signalled: 1, failed: [] };
  }
  const frozen = container.status === 'paused';
  const result = await signalAll(cgroup, signal, { frozen });
  // Known as the reason of the end, and thawed when it was frozen.
  if (signal === SIGKILL) container.noteKill();
  return result;
}

/** Ends every process of a container, those included that fork meanwhile. Resolves when they have ended, or with `signal`. */
export async function killEveryProcess(container: Container, signal: AbortSignal): Promise<void> {
  if (!container.init.running) return;
  container.noteKill();
  const { cgroup } = container.runtime;
  if (cgroup === undefined) {
    container.init.kill();
    return;
  }
  await killAll(cgroup, { signal });
}
