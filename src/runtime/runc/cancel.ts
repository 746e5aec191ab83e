import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { type Cgroup, locateOwnCgroup } from '../../cgroup/hierarchy.ts';
import type { AwaitedFile } from '../../os/completed-file.ts';
import { type Child, type ExitStatus, processParent } from '../../os/process.ts';
import type { Reaper } from '../../os/reaper.ts';
import { within } from '../../os/timer.ts';

const { signals } = constants;

/**
 * A command is given this long to finish before it is killed. A runtime that is killed halfway
 * leaves processes and cgroups that nobody can name; one that has finished can be undone exactly,
 * and it does within some 50 ms unless it hangs.
 */
export const cancelGraceMs = 2_000;

export interface CommandEnd {
  status: ExitStatus;
  /** Cgroups that processes of a killed command were in; empty unless it was killed. */
  cgroups: readonly Cgroup[];
}

/** Waits for a command's end; once `signal` is aborted, at most the grace time more. */
export async function untilEnded(
  reaper: Reaper,
  command: Child,
  signal: AbortSignal | undefined,
): Promise<CommandEnd> {
  if (signal === undefined) return { status: await command.exited, cgroups: [] };
  using aborted = untilAborted(signal);
  await Promise.race([command.exited, aborted.promise]);
  if (command.status === undefined) await within(cancelGraceMs, command.exited);
  if (command.status !== undefined) return { status: command.status, cgroups: [] };
  const cgroups = await killTree(reaper, command);
  return { status: await command.exited, cgroups };
}

/**
 * Until a command has ended, or has nothing to do any more but to end (`done`): that takes as much
 * as a millisecond, which nobody has to wait for.
 */
export function untilDone(
  ended: Promise<CommandEnd>,
  done: AwaitedFile | undefined,
): Promise<CommandEnd> {
  if (done === undefined) return ended;
  const early = done.complete.then<CommandEnd>(() => ({
    status: { kind: 'exited', code: 0 },
    cgroups: [],
  }));
  return Promise.race([ended, early]);
}

function untilAborted(signal: AbortSignal): Disposable & { promise: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const listener = (): void => resolve();
  if (signal.aborted) resolve();
  else signal.addEventListener('abort', listener, { once: true });
  return {
    promise,
    [Symbol.dispose]: () => signal.removeEventListener('abort', listener),
  };
}

/** Kills a command that hangs with all its descendants, and waits for them. */
async function killTree(reaper: Reaper, command: Child): Promise<Cgroup[]> {
  using _hold = reaper.hold();
  command.signal(signals.SIGSTOP); // No more children while they are listed.
  const strays = descendantsOf(command.pid).map((pid) => reaper.adopt(pid));
  const cgroups = strays
    .map((stray) => locateOwnCgroup(stray.pid))
    .filter((cgroup) => cgroup !== undefined);
  command.signal(signals.SIGKILL);
  for (const stray of strays) stray.signal(signals.SIGKILL);
  await within(cancelGraceMs, Promise.all(strays.map((stray) => stray.exited)));
  return cgroups;
}

/** Pids below `pid`, parents before children. */
function descendantsOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? processParent(Number(name)) : undefined;
    if (parent === undefined) continue;
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found: number[] = [];
  const pending = [pid];
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    const below = children.get(next) ?? [];
    found.push(...below);
    pending.push(...below);
  }
  return found;
}
