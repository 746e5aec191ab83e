import { mkdirSync } from 'node:fs';
import { ConnectionSet } from '../../stdio/connection-set.ts';
import type { Container } from '../container.ts';
import { notRunning } from '../container-refusals.ts';
import { checkHostDirectory } from '../host-directory.ts';
import type { CheckpointRequest, RestoreRequest } from '../management-types.ts';
import { chooseRuntime } from '../runtime-catalogue.ts';
import { runtimeFailure } from '../runtime-failure.ts';
import { doorFacts, planCreate } from './create-request.ts';
import type { ManagedVm } from './management.ts';

/** Saves a running container with CRIU, see criu(8). */
export async function checkpointContainer(
  container: Container,
  request: CheckpointRequest,
  signal: AbortSignal | undefined,
): Promise<void> {
  const directory = checkHostDirectory(request.directory, 'directory');
  await container.withRuntime('alone', async (runtime) => {
    const { status } = container;
    if (status !== 'running' && status !== 'paused') throw notRunning(container, 'checkpoint');
    await runtimeFailure('checkpoint', container.id, async () => {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      await runtime.checkpoint({
        ...request,
        directory,
        ...(signal === undefined ? {} : { signal }),
      });
    });
  });
}

/** Makes a container from a checkpoint; it runs when this resolves. */
export async function restoreContainer(
  vm: ManagedVm,
  request: RestoreRequest,
  signal: AbortSignal | undefined,
): Promise<Container> {
  using connections = ConnectionSet.of(request.streams ?? {});
  const directory = checkHostDirectory(request.directory, 'directory');
  const { runtime, warning } = chooseRuntime(vm.runtimes, request);
  if (warning !== undefined) vm.logger.warning(warning, { containerId: request.id });
  return await vm.create(planCreate(request, vm.bundles), {
    runtime,
    door: doorFacts(request),
    restore: { checkpoint: { ...request, directory }, connections },
    ...(signal === undefined ? {} : { signal: AbortSignal.any([vm.end, signal]) }),
  });
}
