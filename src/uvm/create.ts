import { hostname } from 'node:os';
import type { Logger } from '../log/logger.ts';
import { parseContainerId } from '../runtime/container-id.ts';
import type { ContainerId, Runtime, RuntimeContainer } from '../runtime/runtime.ts';
import { writeBundle } from '../spec/bundle.ts';
import { type ContainerPlan, type PlannedFile, planContainer } from '../spec/plan.ts';
import { parseSpec } from '../spec/validate.ts';
import type { BundleClaims } from './bundle-claims.ts';
import { Container } from './container.ts';
import { joinNetwork, networkOf } from './container-network.ts';
import { checkHostDirectory, holdsContainersOnly, removeHostDirectory } from './host-directory.ts';
import type { Namespaces } from './namespaces.ts';
import type { NetworkNamespace } from './network-namespace.ts';
import type { ContainerExit, CreateContainerRequest } from './operations.ts';
import type { Pods } from './pod.ts';
import { runtimeFailure } from './runtime-failure.ts';
import type { StreamFactory } from './streams.ts';
import { Surroundings } from './surroundings.ts';

export interface CreateContext {
  runtime: Runtime;
  streams: StreamFactory;
  namespaces: Namespaces;
  pods: Pods;
  claims: BundleClaims;
  logger: Logger;
  onExit: (exit: ContainerExit) => void;
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
  const plan = await planContainer(spec, {
    id,
    bundle,
    hostname: hostname(),
    ...(network === undefined ? {} : { dns: network.dns }),
    pod: (sandboxId) => context.pods.find(sandboxId),
    warn: (message) => logger.warning(message),
  });
  // Those of a sandbox are its pod's, in a directory that is still to be made.
  const files = plan.kind.kind === 'sandbox' ? [] : plan.files;
  const written = writeBundle(bundle, plan.spec, files, {
    mayReplace: holdsContainersOnly(bundle),
  });
  const removeBundle = async (): Promise<void> => {
    written.undo();
    await remove(bundle, written.madeDirectory, logger);
  };
  try {
    const surroundings = await Surroundings.make(plan, { ...context, id, bundle, logger });
    const removeAll = async (): Promise<void> => {
      await surroundings[Symbol.asyncDispose]();
      if (scratch !== undefined) await remove(scratch, false, logger);
      await removeBundle();
    };
    try {
      const inBundle = { ...context, logger, network, surroundings };
      return await createInBundle(id, bundle, plan, inBundle, removeAll);
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
  id: ContainerId,
  bundle: string,
  plan: ContainerPlan,
  context: CreateContext & {
    network: NetworkNamespace | undefined;
    surroundings: Surroundings;
  },
  removeDirectories: () => Promise<void>,
): Promise<Container> {
  const { runtime, streams, network, surroundings, logger, onExit, signal } = context;
  const { spec } = plan;
  const terminal = spec.process?.terminal === true;
  // Which streams init is to have is only known when it is started: it gets all three now.
  const initStreams = streams.forProcess(terminal, 'later', surroundings.takeLog());
  let created: RuntimeContainer;
  try {
    created = await runtimeFailure('create', id, () =>
      runtime.create({ id, bundle, stdio: initStreams.stdio, noPivot: true, signal }),
    );
    initStreams.started(created.init.terminal);
    if (network !== undefined) await joinOrDelete(network, created, plan.files, logger);
  } catch (error) {
    initStreams[Symbol.dispose]();
    throw error;
  }
  await surroundings.created();
  return new Container(
    { spec, runtime: created, initStreams, place: surroundings.place, removeDirectories },
    { streams, logger, onExit },
  );
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

/** Directories that stay are no reason to fail what has been done; the log says which and why. */
async function remove(directory: string, madeByUs: boolean, logger: Logger): Promise<void> {
  try {
    const outcome = await removeHostDirectory(directory, { madeByUs });
    if (typeof outcome === 'object') {
      logger.debug('directory kept', { directory, reason: outcome.kept });
    }
  } catch (error) {
    logger.error('directory cannot be removed', { directory, error: String(error) });
  }
}
