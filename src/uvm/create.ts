import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../log/logger.ts';
import { hasParentOfRoot } from '../os/mount-table.ts';
import { parseContainerId } from '../runtime/container-id.ts';
import type { ContainerId, CriuOptions, Runtime, RuntimeContainer } from '../runtime/runtime.ts';
import { bundleAdditions, type WrittenBundle, writeBundle } from '../spec/bundle.ts';
import { type ContainerPlan, type PlannedFile, planContainer } from '../spec/plan.ts';
import type { PolicyDocument } from '../spec/security-context.ts';
import { parseSpec } from '../spec/validate.ts';
import type { ContainerRecord, Journal } from '../state/journal.ts';
import type { DoorFacts } from '../state/records.ts';
import type { ConnectionSet } from '../stdio/connection-set.ts';
import type { BundleClaims } from './bundle-claims.ts';
import { Container } from './container.ts';
import { joinNetwork, networkOf } from './container-network.ts';
import type { RestoredContainer } from './container-parts.ts';
import { openDoorLog, removeUnusedLog } from './door-log.ts';
import { checkHostDirectory, holdsContainersOnly } from './host-directory.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Namespaces } from './namespaces.ts';
import type { NetworkNamespace } from './network-namespace.ts';
import type { ContainerExit, CreateContainerRequest } from './operations.ts';
import type { Pods } from './pod.ts';
import { removeDirectory } from './remove-directory.ts';
import { runtimeFailure } from './runtime-failure.ts';
import type { ProcessStreams, StreamFactory } from './streams.ts';
import { Surroundings } from './surroundings.ts';
import { withSystemdCgroup } from './systemd-cgroup.ts';

export interface CreateContext {
  runtime: Runtime;
  streams: StreamFactory;
  namespaces: Namespaces;
  pods: Pods;
  claims: BundleClaims;
  logger: Logger;
  onExit: (exit: ContainerExit) => void;
  lifecycle: Lifecycle;
  /** Offered to the container. */
  policyDocuments: readonly PolicyDocument[];
  /** Of a container of the management door. */
  door?: DoorFacts;
  journal: Journal;
  /** It is not made anew: what it is made from, and the host's ends of its streams. */
  restore?: { checkpoint: CriuOptions; connections: ConnectionSet };
  /** Aborted when the agent ends. */
  end: AbortSignal;
  /** Aborted: what has been made is undone. */
  signal: AbortSignal;
}

/** Everything or nothing: what a failed create made on the way is removed again. */
export async function createContainer(
  request: CreateContainerRequest,
  context: CreateContext,
): Promise<Container> {
  const logger = context.logger.with({ containerId: request.id });
  const id = await runtimeFailure('create', request.id, async () => parseContainerId(request.id));
  const bundle = checkHostDirectory(request.bundle, 'OciBundlePath');
  const scratch =
    request.scratchDir === undefined || request.scratchDir === ''
      ? undefined
      : checkHostDirectory(request.scratchDir, 'ScratchDirPath');
  const spec = parseSpec(request.spec);
  context.claims.claim(id, bundle, scratch);
  const network = networkOf(id, spec, context.namespaces);
  const planned = await planContainer(spec, {
    id,
    bundle,
    hostname: hostname(),
    ...(network === undefined ? {} : { dns: network.dns }),
    pod: (sandboxId) => context.pods.find(sandboxId),
    policyDocuments: context.policyDocuments,
    verbatim: request.verbatim,
    warn: (message) => logger.warning(message),
  });
  const plan =
    context.runtime.cgroupManager === 'systemd' && request.verbatim !== true
      ? { ...planned, spec: withSystemdCgroup(id, planned) }
      : planned;
  // Those of a sandbox are its pod's, in a directory that is still to be made.
  const files = plan.kind.kind === 'sandbox' ? [] : plan.files;
  const mayReplace = holdsContainersOnly(bundle);
  const stdio = context.journal.nextNumber();
  const record = context.journal.createContainer({
    id,
    bundle,
    scratch,
    runtime: context.runtime.name,
    stdio,
    terminal: plan.spec.process?.terminal === true,
    network: network?.id,
    resolver: plan.files.find(({ path }) => path.endsWith('/resolv.conf')),
    door: context.door,
    ...(request.namedBundle === undefined
      ? {}
      : { named: { bundle: request.namedBundle, since: Date.now() } }),
    made: bundleAdditions(bundle, files, { mayReplace }),
  });
  try {
    const write = () => writeBundle(bundle, plan.spec, files, { mayReplace });
    return await createRecorded(plan, write, {
      ...context,
      id,
      bundle,
      namedBundle: request.namedBundle,
      noPivot: !(request.pivot === true && hasParentOfRoot()),
      scratch,
      logger,
      network,
      record,
      stdio,
    });
  } catch (error) {
    record.remove();
    throw error;
  }
}

interface RecordedCreate extends CreateContext {
  id: ContainerId;
  bundle: string;
  namedBundle: string | undefined;
  noPivot: boolean;
  scratch: string | undefined;
  network: NetworkNamespace | undefined;
  record: ContainerRecord;
  /** Number of init's streams. */
  stdio: number;
}

async function createRecorded(
  plan: ContainerPlan,
  write: () => WrittenBundle,
  context: RecordedCreate,
): Promise<Container> {
  const { bundle, scratch, logger } = context;
  const written = write();
  const removeBundle = async (): Promise<void> => {
    written.undo();
    await removeDirectory(bundle, written.madeDirectory, logger);
  };
  try {
    const surroundings = await Surroundings.make(plan, context);
    const removeAll = async (): Promise<void> => {
      await surroundings[Symbol.asyncDispose]();
      if (scratch !== undefined) await removeDirectory(scratch, false, logger);
      await removeBundle();
    };
    try {
      return await createInBundle(plan, { ...context, surroundings }, removeAll);
    } catch (error) {
      await surroundings[Symbol.asyncDispose]();
      throw error;
    }
  } catch (error) {
    await removeBundle();
    throw error;
  }
}

async function createInBundle(
  plan: ContainerPlan,
  context: RecordedCreate & { surroundings: Surroundings },
  removeDirectories: () => Promise<void>,
): Promise<Container> {
  const { id, bundle, namedBundle, runtime, streams, network, surroundings, logger, signal } =
    context;
  const { record, stdio, noPivot, onExit, lifecycle, end, restore } = context;
  const { spec } = plan;
  const terminal = spec.process?.terminal === true;
  // Which streams init is to have is only known when it is started: it gets all three now.
  const keeper = streams.keeper(stdio);
  const criLog = openDoorLog(context.door);
  const output = criLog === undefined ? {} : { criLog, outliveHost: true };
  const initStreams = streams.forProcess(terminal, 'later', {
    ...output,
    log: surroundings.takeLog(),
    keeper,
  });
  let created: RuntimeContainer;
  try {
    const creating = runtimeFailure('create', id, () =>
      runtime.create({
        id,
        bundle,
        namedBundle,
        stdio: initStreams.stdio,
        noPivot,
        signal,
        ...(restore === undefined ? {} : { checkpoint: restore.checkpoint }),
      }),
    );
    // While the runtime works: it is of use only once there is a container.
    record.keepSpec(join(bundle, 'config.json'));
    created = await creating;
    initStreams.started(created.init.terminal);
    if (network !== undefined) await joinOrDelete(network, created, plan.files, logger);
  } catch (error) {
    initStreams[Symbol.dispose]();
    criLog?.close();
    removeUnusedLog(context.door);
    throw error;
  }
  await surroundings.created();
  await streams.kept();
  record.created(created.init, created.membership);
  const running = restore === undefined ? undefined : asRunning(initStreams, restore, record);
  return new Container(
    {
      spec,
      runtime: created,
      runtimeName: runtime.name,
      initStreams,
      place: surroundings.place,
      removeDirectories,
      door: context.door,
      criLog,
      record,
      keeper,
      ...(running === undefined ? {} : { restored: running }),
    },
    { streams, journal: context.journal, logger, onExit, lifecycle, signal: end },
  );
}

/** What a container is that runs from its creation on. */
function asRunning(
  streams: ProcessStreams,
  { connections }: NonNullable<CreateContext['restore']>,
  record: ContainerRecord,
): RestoredContainer {
  const session = streams.relay(connections);
  record.running();
  const now = Date.now();
  return {
    createdAt: now,
    startedAt: now,
    paused: false,
    session,
    endedBy: undefined,
    execs: [],
    hub: undefined,
    ofDoor: [],
  };
}

async function joinOrDelete(
  network: NetworkNamespace,
  created: RuntimeContainer,
  files: readonly PlannedFile[],
  logger: Logger,
): Promise<void> {
  try {
    await joinNetwork(network, created.init, files, logger);
  } catch (error) {
    await created.delete({ force: true });
    throw error;
  }
}
