import { hostname } from 'node:os';
import type { Logger } from '../log/logger.ts';
import { parseContainerId } from '../runtime/container-id.ts';
import type { ContainerId, Runtime, RuntimeContainer } from '../runtime/runtime.ts';
import { writeBundle } from '../spec/bundle.ts';
import { type ContainerPlan, type PlannedFile, planContainer } from '../spec/plan.ts';
import { parseSpec } from '../spec/validate.ts';
import { Container } from './container.ts';
import { joinNetwork, networkOf } from './container-network.ts';
import { checkHostDirectory, removeHostDirectory } from './host-directory.ts';
import type { Namespaces } from './namespaces.ts';
import type { NetworkNamespace } from './network-namespace.ts';
import type { ContainerExit, CreateContainerRequest } from './operations.ts';
import { runtimeFailure } from './runtime-failure.ts';
import type { StreamFactory } from './streams.ts';

export interface CreateContext {
  runtime: Runtime;
  streams: StreamFactory;
  namespaces: Namespaces;
  logger: Logger;
  onExit: (exit: ContainerExit) => void;
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
  const network = networkOf(id, spec, context.namespaces);
  const plan = await planContainer(spec, {
    id,
    bundle,
    hostname: hostname(),
    ...(network === undefined ? {} : { dns: network.dns }),
    warn: (message) => logger.warning(message),
  });
  const written = writeBundle(bundle, plan.spec, plan.files);
  const removeDirectories = async (): Promise<void> => {
    if (scratch !== undefined) await remove(scratch, false, logger);
    written.undo();
    await remove(bundle, written.madeDirectory, logger);
  };
  try {
    const inBundle = { ...context, logger, network };
    return await createInBundle(id, bundle, plan, inBundle, removeDirectories);
  } catch (error) {
    written.undo();
    await remove(bundle, written.madeDirectory, logger);
    throw error;
  }
}

async function createInBundle(
  id: ContainerId,
  bundle: string,
  plan: ContainerPlan,
  context: CreateContext & { network: NetworkNamespace | undefined },
  removeDirectories: () => Promise<void>,
): Promise<Container> {
  const { runtime, streams, network, logger, onExit } = context;
  const { spec } = plan;
  // Which streams init is to have is only known when it is started: it gets all three now.
  const initStreams = streams.forProcess(spec.process?.terminal === true, 'later');
  let created: RuntimeContainer;
  try {
    created = await runtimeFailure('create', id, () =>
      runtime.create({ id, bundle, stdio: initStreams.stdio, noPivot: true }),
    );
    initStreams.started(created.init.terminal);
    if (network !== undefined) await joinOrDelete(network, created, plan.files, logger);
  } catch (error) {
    initStreams[Symbol.dispose]();
    throw error;
  }
  return new Container(
    { spec, runtime: created, initStreams, removeDirectories },
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
