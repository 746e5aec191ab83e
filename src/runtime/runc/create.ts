import { constants } from 'node:os';
import { join } from 'node:path';
import { readMembership } from '../../cgroup/hierarchy.ts';
import { removeEmpty } from '../../cgroup/processes.ts';
import { type CreateOptions, type Runtime, RuntimeError } from '../runtime.ts';
import { type BundleFacts, readBundle } from './bundle.ts';
import type { CommandEnd } from './cancel.ts';
import { RuncContainer } from './container.ts';
import { criuArgs } from './criu.ts';
import { ErrorLog } from './error-log.ts';
import { launch } from './launch.ts';
import { makeDirectoryInRoot } from './rootfs-directory.ts';
import type { RuncServices } from './services.ts';

const { signals } = constants;

/** A runtime that hung in `create` may hang in `delete` as well. */
const undoLimitMs = 5_000;

/**
 * Creates a container, step by step; each step that leaves something behind says how it is
 * undone, and a failure undoes them in the opposite order.
 */
export async function createContainer(
  services: RuncServices,
  options: CreateOptions,
  onDeleted: () => void,
  runtime: Pick<Runtime, 'checkpointSupport'>,
): Promise<RuncContainer> {
  const { id, bundle, stdio, signal, checkpoint } = options;
  const { reaper, commands, bookkeeping, logger } = services;
  signal?.throwIfAborted();
  const facts = factsOf(options);
  await using undo = new AsyncDisposableStack();

  const isNew = bookkeeping.addContainer(id);
  if (isNew) undo.defer(() => bookkeeping.removeContainer(id));
  const directory = bookkeeping.addProcess(id);
  undo.defer(() => directory.remove());
  makeWorkingDirectory(services, facts, id);

  const init = await launch(reaper, commands, {
    operation: checkpoint === undefined ? 'create' : 'restore',
    id,
    options: [
      ...(checkpoint === undefined ? [] : ['--detach', ...criuArgs(checkpoint)]),
      '--bundle',
      options.namedBundle ?? bundle,
      ...(options.noPivot === false || !facts.canMoveRoot ? [] : ['--no-pivot']),
    ],
    stdio,
    directory,
    log: new ErrorLog(join(bundle, 'runc.log')),
    signal,
    errorPrefix: 'runc create failed',
    remark: (text, end) => memoryRemark(facts, text, end),
    onMade: (end) => undo.defer(() => deleteAgain(services, id, end)),
  });
  undo.defer(() => {
    init.terminal?.close();
    init.signal(signals.SIGKILL);
  });

  if (!isNew) {
    // The id was free, so the directory is of a container that an earlier agent has lost.
    logger.warning('replacing the leftover directory of a container', { container: id });
    bookkeeping.removeContainer(id);
    bookkeeping.addContainer(id);
    undo.defer(() => bookkeeping.removeContainer(id));
  }
  directory.settle(init.pid);
  bookkeeping.writeInitPid(id, init.pid);
  // Now, while init surely lives: a process that has ended is in no cgroup.
  const membership = readMembership(init.pid);
  undo.move();
  const { ownsPidNamespace, hasPoststartHooks } = facts;
  return new RuncContainer(services, {
    id,
    bundle,
    init,
    ownsPidNamespace,
    hasPoststartHooks,
    membership,
    onDeleted,
    runtime,
    ...(checkpoint === undefined ? {} : { taken: { started: true, execs: [] } }),
  });
}

function factsOf({ id, bundle, stdio }: CreateOptions): BundleFacts {
  const failed = (reason: string, cause?: unknown): RuntimeError =>
    new RuntimeError('other', `cannot create container ${id}: ${reason}`, {
      operation: 'create',
      containerId: id,
      cause,
    });
  let facts: BundleFacts;
  try {
    facts = readBundle(bundle);
  } catch (error) {
    throw failed(error instanceof Error ? error.message : String(error), error);
  }
  // A runtime would never connect to the console socket we would wait on.
  if (stdio.kind === 'terminal' && !facts.terminal) {
    throw failed('a terminal is asked for, and process.terminal is not set in its spec');
  }
  return facts;
}

/** Best effort: the runtime itself says what is wrong with a cwd that cannot be. */
function makeWorkingDirectory(services: RuncServices, facts: BundleFacts, id: string): void {
  if (facts.cwd === '/' || facts.rootfs === undefined) return;
  try {
    makeDirectoryInRoot(facts.rootfs, facts.cwd);
  } catch (error) {
    services.logger.debug('cwd not made', { container: id, cwd: facts.cwd, error });
  }
}

/** runc's init needs a few MiB itself, inside the container's limit; the runtime says it vaguely. */
function memoryRemark(
  facts: BundleFacts,
  text: string | undefined,
  end: CommandEnd,
): string | undefined {
  if (facts.memoryLimit === undefined || end.status.kind === 'signaled') return undefined;
  if (!/signal: killed|OOM-killed|unable to set memory limit/.test(text ?? '')) return undefined;
  return `the container's memory limit of ${facts.memoryLimit} bytes is too small for it to start`;
}

/** The id was free when the runtime began, so what it has made by now is ours to delete. */
async function deleteAgain(services: RuncServices, id: CreateOptions['id'], end: CommandEnd) {
  const { commands, logger } = services;
  try {
    const signal = AbortSignal.timeout(undoLimitMs);
    await commands.run({ operation: 'delete', args: ['--force', '--', id], id, signal });
  } catch (error) {
    logger.warning('a failed create could not be undone', { container: id, error });
  }
  for (const cgroup of end.cgroups) await removeEmpty(cgroup);
}
