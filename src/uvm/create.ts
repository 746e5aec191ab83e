import { hostname } from 'node:os';
import type { Logger } from '../log/logger.ts';
import { parseContainerId } from '../runtime/container-id.ts';
import type { ContainerId, Runtime, RuntimeContainer } from '../runtime/runtime.ts';
import { writeBundle } from '../spec/bundle.ts';
import { type ContainerPlan, planContainer } from '../spec/plan.ts';
import { parseSpec } from '../spec/validate.ts';
import { Container } from './container.ts';
import { checkHostDirectory, removeHostDirectory } from './host-directory.ts';
import type { ContainerExit, CreateContainerRequest } from './operations.ts';
import { runtimeFailure } from './runtime-failure.ts';
import type { StreamFactory } from './streams.ts';

export interface CreateContext {
  runtime: Runtime;
  streams: StreamFactory;
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
  const plan = await planContainer(parseSpec(request.spec), {
    id,
    bundle,
    hostname: hostname(),
    warn: (message) => logger.warning(message),
  });
  const written = await writeBundle(bundle, plan.spec, plan.files);
  const removeDirectories = async (): Promise<void> => {
    if (scratch !== undefined) await remove(scratch, false, logger);
    await written.undo();
    await remove(bundle, written.madeDirectory, logger);
  };
  try {
    return await createInBundle(id, bundle, plan, { ...context, logger }, removeDirectories);
  } catch (error) {
    await written.undo();
    await remove(bundle, written.madeDirectory, logger);
    throw error;
  }
}

async function createInBundle(
  id: ContainerId,
  bundle: string,
  plan: ContainerPlan,
  context: CreateContext,
  removeDirectories: () => Promise<void>,
): Promise<Container> {
  const { runtime, streams, logger, onExit } = context;
  const { spec } = plan;
  // Which streams init is to have is only known when it is started: it gets all three now.
  const initStreams = streams.forProcess(spec.process?.terminal === true, 'later');
  let created: RuntimeContainer;
  try {
    created = await runtimeFailure('create', id, () =>
      runtime.create({ id, bundle, stdio: initStreams.stdio, noPivot: true }),
    );
    initStreams.started(created.init.terminal);
  } catch (error) {
    initStreams[Symbol.dispose]();
    throw error;
  }
  return new Container(
    { spec, runtime: created, initStreams, removeDirectories },
    { streams, logger, onExit },
  );
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
