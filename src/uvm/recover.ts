import type { Logger } from '../log/logger.ts';
import type { DescriptorStore } from '../os/descriptor-store.ts';
import { faultPoint } from '../os/fault-point.ts';
import type { Reaper } from '../os/reaper.ts';
import type { Runtime, RuntimeTakeover } from '../runtime/runtime.ts';
import { type Journal, ProcessRecord } from '../state/journal.ts';
import {
  type FoundContainer,
  type FoundProcess,
  type FoundState,
  nothing,
  readState,
} from '../state/recover.ts';
import type { BundleClaims } from './bundle-claims.ts';
import type { Container } from './container.ts';
import type { ExitEvents } from './exit-events.ts';
import type { LazyResources } from './lazy-resources.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Namespaces } from './namespaces.ts';
import type { Pods } from './pod.ts';
import { restoreContainer } from './restore-container.ts';
import { restoreUvmProcess } from './restore-process.ts';
import type { RuntimeCatalogue } from './runtime-catalogue.ts';
import type { SecurityPolicy } from './security-policy.ts';
import type { StreamFactory } from './streams.ts';
import type { UvmProcesses } from './uvm-processes.ts';

/** The parts of the VM that are filled again. */
export interface RecoverContext {
  readonly runtime: Runtime;
  readonly runtimes?: RuntimeCatalogue;
  readonly reaper: Reaper;
  readonly logger: Logger;
  readonly store?: DescriptorStore;
  readonly journal: Journal;
  readonly streams: StreamFactory;
  readonly containers: Map<string, Container>;
  readonly processes: UvmProcesses;
  readonly pods: Pods;
  readonly claims: BundleClaims;
  readonly namespaces: Namespaces;
  readonly resources: LazyResources;
  readonly securityPolicy: SecurityPolicy;
  readonly exits: ExitEvents;
  readonly lifecycle: Lifecycle;
  /** All names of the descriptor store. */
  readonly names: readonly string[];
  /** Aborted when the agent ends. */
  readonly end: AbortSignal;
}

/** One recovery under way. */
export interface Recovery extends RecoverContext {
  readonly takeovers: ReadonlyMap<string, RuntimeTakeover>;
}

/**
 * Takes up what an agent before this one has left, in this order: commands of the runtime that are
 * under way end; network namespaces and the security policy are known again; sandboxes, then other containers, each with its processes and streams; processes
 * of the VM; descriptors nobody has claimed are closed; disks, layers and shares. What fails is told in the log and
 * left as it is, and the rest goes on.
 */
export async function recoverUvm(path: string | undefined, context: RecoverContext): Promise<void> {
  const { journal, names } = context;
  const logger = context.logger.with({ target: 'recovery' });
  const found = path === undefined ? nothing : readState(path, logger);
  journal.takeNumbers(Math.max(found.highestNumber, ...names.map(numberOf)));
  const takeovers = await takeOverRuntimes(found, context, logger);
  const recovery: Recovery = { ...context, logger, takeovers };
  await quietly(logger, { namespaces: found.network.length }, async () =>
    context.namespaces.restore(found.network),
  );
  await quietly(logger, { policies: found.policy.length }, async () =>
    context.securityPolicy.restore(found.policy),
  );
  for (const container of sandboxesFirst(found.containers)) {
    await quietly(logger, { containerId: container.id }, () =>
      restoreContainer(container, recovery),
    );
  }
  const isRunning = ({ progress }: FoundProcess): boolean => progress.phase === 'running';
  const runningFirst = [...found.processes].sort((a, b) => +isRunning(b) - +isRunning(a));
  for (const { number, progress } of runningFirst) {
    const record = new ProcessRecord(journal, `p/${number}.json`, { ...progress }, { known: true });
    await quietly(logger, { process: number }, () => restoreUvmProcess(number, record, recovery));
  }
  await closeUnclaimed(found, recovery);
  await quietly(logger, { namespaces: found.network.length }, () => context.namespaces.settle());
  await quietly(logger, { resources: found.storage.length }, () =>
    context.resources.restore(found.storage),
  );
  logger.info('state of the agent before is recovered', {
    containers: context.containers.size,
    processes: context.processes.table.size,
  });
}

async function quietly(logger: Logger, what: object, run: () => Promise<void>): Promise<void> {
  try {
    await run();
    faultPoint(`recovered: ${JSON.stringify(what)}`);
  } catch (error) {
    logger.error('not recovered', { ...what, error: String(error) });
  }
}

/** Every runtime that has containers of ours, and the one of the bridge. */
async function takeOverRuntimes(
  { containers }: FoundState,
  { runtime, runtimes }: RecoverContext,
  logger: Logger,
): Promise<Map<string, RuntimeTakeover>> {
  const takeovers = new Map<string, RuntimeTakeover>();
  const known = runtimes?.all ?? new Map([[runtime.name, runtime]]);
  for (const [name, each] of known) {
    const own = containers.filter(({ facts }) => facts?.runtime === name);
    if (own.length === 0 && each !== runtime) continue;
    await quietly(logger, { runtime: name }, async () => {
      const bundles = own.map(({ facts }) => facts?.bundle ?? '');
      takeovers.set(name, await each.takeOver(bundles));
    });
  }
  return takeovers;
}

function sandboxesFirst(containers: readonly FoundContainer[]): FoundContainer[] {
  const isSandbox = ({ surroundings }: FoundContainer): boolean =>
    surroundings.pod?.sandbox !== undefined;
  return [...containers].sort((a, b) => Number(isSandbox(b)) - Number(isSandbox(a)));
}

/** N of `sN.…`; 0 for what is not a stream. */
function numberOf(name: string): number {
  return Number(/^s(\d+)\./.exec(name)?.[1] ?? 0);
}

/** Streams of processes that are not known: they ended, or the host was never told of them. */
async function closeUnclaimed(found: FoundState, recovery: Recovery): Promise<void> {
  const { streams, names, containers, store, logger } = recovery;
  if (store?.available !== true) return;
  const claimed = new Set<number>();
  for (const { id, facts, execs } of found.containers) {
    if (!containers.has(id)) continue;
    if (facts !== undefined) claimed.add(facts.stdio);
    for (const { number, progress } of execs) {
      if (progress.phase === 'running') claimed.add(number);
    }
  }
  for (const { number, progress } of found.processes) {
    if (progress.phase === 'running') claimed.add(number);
  }
  const unclaimed = new Set(names.map(numberOf).filter((number) => number > 0));
  for (const number of unclaimed) {
    if (claimed.has(number)) continue;
    await quietly(logger, { streams: number }, async () => {
      const left = await streams.resumeUnstarted(number, { terminal: false, names });
      left[Symbol.dispose]();
    });
  }
}
