import { BridgeError } from '../client/errors.ts';
import { Pidfd } from '../os/pidfd.ts';
import { isAlive, type ProcessIdentity, type VmDirectory, type VmState } from '../vm/directory.ts';
import { vmGuest, vmHost } from './vm-session.ts';

/** For the supervisor to end QEMU, which it gives 5 s itself. */
const SUPERVISOR_MS = 10_000;
const SIGTERM = 15;
const SIGKILL = 9;

export interface DownOptions {
  readonly force: boolean;
  readonly timeoutMs: number;
}

/** Ends a VM and removes its directory; tells how it ended. */
export async function takeDown(directory: VmDirectory, options: DownOptions): Promise<string> {
  const state = directory.running();
  const supervisor = state?.supervisor;
  if (state === undefined || supervisor === undefined) {
    directory.remove();
    return 'does not run';
  }
  const asked = options.force ? 'not asked' : await powerOff(directory, state, options.timeoutMs);
  const polite = asked === undefined;
  const patient = polite && (await endsWithin(supervisor, options.timeoutMs));
  if (!patient) await end(supervisor);
  directory.remove();
  return polite ? 'powered off' : `ended (${asked})`;
}

/** Undefined when the guest obeys; why not otherwise. */
async function powerOff(
  directory: VmDirectory,
  state: VmState,
  timeoutMs: number,
): Promise<string | undefined> {
  await using host = vmHost({ directory, state });
  try {
    await using guest = await vmGuest({ directory, state }, host, { timeoutMs, takesOver: true });
    await guest.shutdown('graceful', { signal: AbortSignal.timeout(timeoutMs) });
    return undefined;
  } catch (error) {
    if (error instanceof BridgeError) return `the agent: ${error.message}`;
    return error instanceof Error ? error.message : String(error);
  }
}

/** SIGTERM, then SIGKILL, with which the kernel kills QEMU too. */
async function end(supervisor: ProcessIdentity): Promise<void> {
  for (const number of [SIGTERM, SIGKILL]) {
    signal(supervisor, number);
    if (await endsWithin(supervisor, SUPERVISOR_MS)) return;
  }
  throw new Error(`process ${supervisor.pid} cannot be killed`);
}

/** The process itself, never another one that got its pid. */
function open(identity: ProcessIdentity): Pidfd | undefined {
  const handle = Pidfd.open(identity.pid);
  if (isAlive(identity)) return handle;
  handle?.[Symbol.dispose]();
  return undefined;
}

async function endsWithin(identity: ProcessIdentity, milliseconds: number): Promise<boolean> {
  using handle = open(identity);
  if (handle === undefined) return true;
  const limit = AbortSignal.timeout(milliseconds);
  try {
    await handle.ended({ signal: limit });
    return true;
  } catch (error) {
    if (limit.aborted) return false;
    throw error;
  }
}

function signal(identity: ProcessIdentity, number: number): void {
  using handle = open(identity);
  handle?.signal(number);
}
