import { type FSWatcher, watch } from 'node:fs';
import { rmdir, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../os/errors.ts';
import { Pidfd } from '../os/pidfd.ts';
import { isAbsence, readFileIfPresent } from './files.ts';
import { apartFromAgent, type Cgroup } from './hierarchy.ts';
import { subdirectories } from './shared.ts';

const SIGKILL = 9;

/** Milliseconds between looks at a v1 freezer that is still freezing: the kernel announces nothing there. The interval doubles from the first to the last. */
const freezerLook = { first: 1, last: 50 };

/** Milliseconds a kill on v1 waits for the freezer before it goes on without: a process in an uninterruptible wait never freezes. */
const freezeBeforeKillMs = 500;

/** Descriptors held at a time: a container may have more processes than the agent may have descriptors. */
const pidfdsAtOnce = 256;

/** The hierarchy that processes are listed and stopped in. */
interface Place {
  readonly freezer: 'v1' | 'v2' | 'none';
  readonly directory: string;
}

interface Cancellable {
  signal?: AbortSignal;
}

/** Every directory of a cgroup, each once. */
function directoriesOf({ controllers, unified }: Cgroup): Set<string> {
  const directories = new Set(controllers.values());
  if (unified !== undefined) directories.add(unified);
  return directories;
}

/** Removes a cgroup where it is empty; a directory that holds processes or other cgroups stays. */
export async function removeEmpty(cgroup: Cgroup): Promise<void> {
  for (const directory of directoriesOf(cgroup)) {
    try {
      await rmdir(directory);
    } catch (error) {
      if (!isAbsence(error) && !hasCode(error, 'EBUSY') && !hasCode(error, 'ENOTEMPTY')) {
        throw error;
      }
    }
  }
}

/** Pids in a cgroup and all below it, in no order. Empty when it is gone. Zombies are not in it, nor processes outside this pid namespace. */
export async function listProcesses(cgroup: Cgroup): Promise<number[]> {
  const directory = cgroup.unified ?? cgroup.controllers.values().next().value;
  const preferred = cgroup.controllers.get('freezer') ?? cgroup.controllers.get('pids');
  const found = preferred ?? directory;
  return found === undefined ? [] : await listBelow(found);
}

/** Stops every process of a cgroup; resolves when all of them are stopped, or the cgroup is gone. When cancelled, or when it fails, they run on. */
export async function freeze(cgroup: Cgroup, options: Cancellable = {}): Promise<void> {
  await freezePlace(ownPlace(cgroup), options);
}

/** Lets the processes of a frozen cgroup run on. */
export async function thaw(cgroup: Cgroup): Promise<void> {
  await thawPlace(ownPlace(cgroup));
}

/**
 * Kills every process of a cgroup, those included that fork meanwhile; resolves when all have
 * ended (who their parent is still has to collect them) or the cgroup is gone. Throws for the
 * agent's own cgroup. Rejects with the signal's reason.
 */
export async function killAll(cgroup: Cgroup, options: Cancellable = {}): Promise<void> {
  const { signal } = options;
  const place = ownPlace(cgroup);
  if (place.freezer === 'v2' && (await write(`${place.directory}/cgroup.kill`, '1'))) {
    await untilEvent(place.directory, 'populated 0', signal);
    return;
  }
  // Once more after each round: a fork that was under way may have escaped the list.
  while ((await listBelow(place.directory)).length > 0) {
    signal?.throwIfAborted();
    await killRound(place, signal);
  }
}

/** A signal to every process of a cgroup: who got it, and who could not be given it. */
export interface SignalledAll {
  signalled: number;
  failed: { pid: number; message: string }[];
}

/**
 * Sends a signal to every process of a cgroup. They are stopped meanwhile, so that none can fork
 * away from it; one that cannot be signalled keeps nobody else from getting it. Throws for the
 * agent's own cgroup.
 *
 * @param options.frozen they are stopped already, and stay so.
 */
export async function signalAll(
  cgroup: Cgroup,
  signal: number,
  options: Cancellable & { frozen?: boolean } = {},
): Promise<SignalledAll> {
  const place = ownPlace(cgroup);
  const result: SignalledAll = { signalled: 0, failed: [] };
  try {
    if (options.frozen !== true) await freezeForKill(place, options.signal);
    for (const pid of await listBelow(place.directory)) signalOne(pid, signal, result);
  } finally {
    if (options.frozen !== true) await thawPlace(place);
  }
  return result;
}

/** A stopped process keeps its pid, so who was listed is who gets the signal. */
function signalOne(pid: number, signal: number, result: SignalledAll): void {
  try {
    using process = Pidfd.open(pid);
    if (process?.signal(signal) === true) result.signalled += 1;
  } catch (error) {
    result.failed.push({ pid, message: error instanceof Error ? error.message : String(error) });
  }
}

/** Kills what is there at the moment and waits for the end of some of it: of all, where there are few. */
async function killRound(place: Place, signal: AbortSignal | undefined): Promise<void> {
  using waitedFor = new DisposableStack();
  const processes: Pidfd[] = [];
  try {
    await freezeForKill(place, signal);
    const pids = await listBelow(place.directory);
    for (let start = 0; start < pids.length; start += pidfdsAtOnce) {
      using killed = new DisposableStack();
      const batch = await killBatch(place, pids.slice(start, start + pidfdsAtOnce), killed);
      if (start > 0) continue;
      processes.push(...batch);
      waitedFor.use(killed.move());
    }
  } finally {
    // A frozen v1 process takes its SIGKILL when it is thawed.
    if (place.freezer === 'v1') await thawBelow(place.directory);
    else await thawPlace(place);
  }
  await Promise.all(
    processes.map(async (process) => await process.ended(signal ? { signal } : {})),
  );
}

/** SIGKILL to those of these pids that are in the cgroup; `owner` gets their pidfds. */
async function killBatch(
  place: Place,
  pids: readonly number[],
  owner: DisposableStack,
): Promise<Pidfd[]> {
  const opened: Pidfd[] = [];
  for (const pid of pids) {
    const process = Pidfd.open(pid);
    if (process !== undefined) opened.push(owner.use(process));
  }
  // Who is listed under its pid now, and gets the signal, is who was opened: a pid is free for
  // another process only once its own has ended, and then the signal goes nowhere.
  const listed = new Set(await listBelow(place.directory));
  const victims = opened.filter((process) => listed.has(process.pid));
  for (const process of victims) process.signal(SIGKILL);
  return victims;
}

async function freezeForKill(place: Place, signal: AbortSignal | undefined): Promise<void> {
  const patience = AbortSignal.timeout(freezeBeforeKillMs);
  try {
    const either = signal === undefined ? patience : AbortSignal.any([signal, patience]);
    await freezePlace(place, { signal: either });
  } catch (error) {
    if (!patience.aborted || signal?.aborted) throw error;
  }
}

async function listBelow(directory: string): Promise<number[]> {
  const text = readFileIfPresent(`${directory}/cgroup.procs`) ?? '';
  // 0 stands for a process outside our pid namespace.
  const pids = text
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 0);
  for (const below of await subdirectories(directory)) pids.push(...(await listBelow(below)));
  return pids;
}

/**
 * Where the cgroup can be acted on as a whole. A hierarchy in which it is the agent's own cgroup
 * or one above it (a runtime that left it where it was) is none: the agent would stop itself.
 */
function ownPlace(cgroup: Cgroup): Place {
  const own = apartFromAgent(cgroup);
  const freezer = own?.controllers.get('freezer');
  if (freezer !== undefined) return { freezer: 'v1', directory: freezer };
  if (own?.unified !== undefined) return { freezer: 'v2', directory: own.unified };
  const [directory] = own?.controllers.values() ?? [];
  if (directory !== undefined) return { freezer: 'none', directory };
  throw new Error('the container has no cgroup of its own');
}

async function freezePlace(place: Place, { signal }: Cancellable): Promise<void> {
  try {
    switch (place.freezer) {
      case 'v1':
        return await freezeV1(place.directory, signal);
      case 'v2':
        await write(`${place.directory}/cgroup.freeze`, '1');
        return await untilEvent(place.directory, 'frozen 1', signal);
      case 'none':
        return;
    }
  } catch (error) {
    await thawPlace(place);
    throw error;
  }
}

async function thawPlace(place: Place): Promise<void> {
  switch (place.freezer) {
    case 'v1':
      await write(`${place.directory}/freezer.state`, 'THAWED');
      return;
    case 'v2':
      await write(`${place.directory}/cgroup.freeze`, '0');
      return;
    case 'none':
      return;
  }
}

/** v1: the cgroups below as well, which the container may have frozen itself. */
async function thawBelow(directory: string): Promise<void> {
  await write(`${directory}/freezer.state`, 'THAWED');
  for (const below of await subdirectories(directory)) await thawBelow(below);
}

async function freezeV1(directory: string, signal: AbortSignal | undefined): Promise<void> {
  const file = `${directory}/freezer.state`;
  for (let wait = freezerLook.first; ; wait = Math.min(wait * 2, freezerLook.last)) {
    signal?.throwIfAborted();
    // Written each time: a process that was forked since the last time has to be told as well.
    if (!(await write(file, 'FROZEN'))) return;
    const state = readFileIfPresent(file);
    if (state === undefined || state.trim() === 'FROZEN') return;
    await delay(wait, undefined, signal === undefined ? {} : { signal });
  }
}

/** Resolves when cgroup.events has this line, or is gone. The kernel notifies its watchers of each change (cgroups(7), inotify). */
async function untilEvent(
  directory: string,
  line: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const file = `${directory}/cgroup.events`;
  let failure: Error | undefined;
  let woken = Promise.withResolvers<void>();
  const wake = (): void => woken.resolve();
  const watcher = watchIfPresent(file, wake);
  if (watcher === undefined) return;
  watcher.on('error', (error) => {
    failure = error;
    wake();
  });
  signal?.addEventListener('abort', wake, { once: true });
  try {
    for (;;) {
      signal?.throwIfAborted();
      if (failure !== undefined) throw failure;
      const text = readFileIfPresent(file);
      if (text === undefined || text.split('\n').includes(line)) return;
      await woken.promise;
      woken = Promise.withResolvers();
    }
  } finally {
    signal?.removeEventListener('abort', wake);
    watcher.close();
  }
}

function watchIfPresent(file: string, onChange: () => void): FSWatcher | undefined {
  try {
    return watch(file, onChange);
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

/** False when there is no such file. */
async function write(path: string, text: string): Promise<boolean> {
  try {
    // r+: a cgroup that is gone must not be an attempt to create a file.
    await writeFile(path, text, { flag: 'r+' });
    return true;
  } catch (error) {
    if (isAbsence(error)) return false;
    throw error;
  }
}
