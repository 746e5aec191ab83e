import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import type { Membership } from '../../cgroup/hierarchy.ts';
import { adoptKnown, type KnownProcess } from '../../os/known-process.ts';
import { Pidfd } from '../../os/pidfd.ts';
import { processAgeMs, processCommandLine, processStartTime } from '../../os/process.ts';
import {
  type ContainerId,
  type LoadedContainer,
  type LoadOptions,
  type MadeContainer,
  type RuntimeContainerState,
  RuntimeError,
  type RuntimeTakeover,
} from '../runtime.ts';
import type { ProcessDirectory } from './bookkeeping.ts';
import { type KeptExec, RuncContainer } from './container.ts';
import { RuncProcess } from './process.ts';
import type { RuncServices } from './services.ts';

const { signals } = constants;

/** Milliseconds that a command of the agent before us may take to finish, before it is killed. */
const inFlightLimitMs = 10_000;
/** Milliseconds for a process that was killed to be gone. */
const killedLimitMs = 5_000;
/** How exactly the start of a process and the time of a file are known: a tick of each clock. */
const startPrecisionMs = 30;

/** Containers of an agent that was killed, taken over one by one. */
export class RuncTakeover implements RuntimeTakeover {
  readonly #services: RuncServices;
  readonly #states: Map<string, RuntimeContainerState>;
  /** Ids that are taken, of the runtime. */
  readonly #ids: Set<ContainerId>;

  constructor(
    services: RuncServices,
    states: readonly RuntimeContainerState[],
    ids: Set<ContainerId>,
  ) {
    this.#services = services;
    this.#states = new Map(states.map((state) => [state.id, state]));
    this.#ids = ids;
  }

  /**
   * Lets commands under way come to their end, so that what the runtime says from then on stays
   * true. Processes they have made and nobody has taken over are killed.
   */
  static async settle(services: RuncServices, bundles: readonly string[]): Promise<void> {
    await finishCommands(services, bundles);
    for (const directory of services.bookkeeping.unsettled()) {
      await endUnknown(directory, services);
      directory.remove();
    }
  }

  state(id: ContainerId): RuntimeContainerState | undefined {
    return this.#states.get(id);
  }

  async load(options: LoadOptions): Promise<LoadedContainer> {
    const { id, bundle, ownsPidNamespace, membership } = options;
    const { bookkeeping } = this.#services;
    const directories = bookkeeping.processes(id);
    directories.delete(options.init.pid);
    const kept: KeptExec[] = [];
    for (const known of options.execs) {
      const directory = directories.get(known.pid) ?? bookkeeping.processAt(id, known.pid);
      directories.delete(known.pid);
      kept.push({ process: this.#process(known), directory });
    }
    for (const directory of directories.values()) {
      await endUnknown(directory, this.#services);
      directory.remove();
    }
    const init = this.#process(options.init);
    this.#ids.add(id);
    const container = new RuncContainer(this.#services, {
      id,
      bundle,
      init,
      ownsPidNamespace,
      membership: membership as Membership | undefined,
      onDeleted: () => void this.#ids.delete(id),
      taken: { started: options.started, execs: kept },
    });
    return { container, execs: kept.map(({ process }) => process) };
  }

  async discard(id: ContainerId, made: MadeContainer): Promise<void> {
    const { commands, bookkeeping } = this.#services;
    // Somebody else's container of the same name made the create fail: it stays.
    if (isMade(this.#states.get(id), made)) {
      try {
        await commands.run({ operation: 'delete', args: ['--force', '--', id], id });
      } catch (error) {
        if (!(error instanceof RuntimeError && error.code === 'not-found')) throw error;
      }
    }
    bookkeeping.removeContainer(id);
  }

  #process(known: KnownProcess): RuncProcess {
    return new RuncProcess(adoptKnown(this.#services.reaper, known), undefined);
  }
}

function isMade(
  state: RuntimeContainerState | undefined,
  { bundle, since }: MadeContainer,
): boolean {
  if (state?.bundle !== bundle) return false;
  return since === undefined || Date.parse(state.created) >= since;
}

/** Commands are known by what only ours name: a directory of the bookkeeping, or the log in a bundle. */
async function finishCommands(services: RuncServices, bundles: readonly string[]): Promise<void> {
  const { bookkeeping, commands, logger } = services;
  const logs = new Set(bundles.map((bundle) => commands.logPath(bundle)));
  const isOurs = ([name, ...args]: readonly string[]): boolean =>
    name === commands.programName &&
    args.some((arg) => arg.startsWith(`${bookkeeping.root}/`) || logs.has(arg));
  for (const pid of allPids()) {
    using command = Pidfd.open(pid);
    const argv = processCommandLine(pid);
    if (command === undefined || argv === undefined || !isOurs(argv)) continue;
    logger.info('waiting for a command of the agent before', { pid, command: argv.join(' ') });
    if (await endsWithin(inFlightLimitMs, command)) continue;
    logger.warning('a command of the agent before hangs and is killed', { pid });
    command.signal(signals.SIGKILL);
    await endsWithin(killedLimitMs, command);
  }
}

async function endsWithin(ms: number, process: Pidfd): Promise<boolean> {
  const limit = AbortSignal.timeout(ms);
  try {
    await process.ended({ signal: limit });
    return true;
  } catch (error) {
    if (limit.aborted) return false;
    throw error;
  }
}

function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Kills the process of a directory: the host was never told of it. */
async function endUnknown(directory: ProcessDirectory, { logger }: RuncServices): Promise<void> {
  const written = directory.writtenAt;
  if (written === undefined) return; // The runtime has made none.
  let pid: number;
  try {
    pid = directory.readPid();
  } catch (error) {
    logger.warning('a process of the agent before cannot be told', { error: String(error) });
    return;
  }
  using process = Pidfd.open(pid);
  const startTime = process === undefined ? undefined : processStartTime(pid);
  if (process === undefined || startTime === undefined) return;
  // One that got this pid later started after the file was written.
  if (processAgeMs(startTime) + startPrecisionMs < Date.now() - written) return;
  logger.info('ending a process nobody was told of', { pid });
  process.signal(signals.SIGKILL);
  await endsWithin(killedLimitMs, process);
}
