import { resolve } from 'node:path/posix';
import { AgentError } from '../../errors.ts';
import { hasCode } from '../../os/errors.ts';
import type { Fd } from '../../os/fd.ts';
import { O_DIRECTORY_PATH, openAt2, type ResolveRule } from '../../os/openat2.ts';
import { processStartTime } from '../../os/process.ts';
import type { ManagementOperations } from '../../uvm/management.ts';
import { ManagementError } from '../errors.ts';

/** The container's "/" is the end of every path, link and ".." in it; /proc in it leads nowhere else. */
const CONFINED: readonly ResolveRule[] = ['in-root', 'no-magic-links'];

/** The root directory of a container, with its mounts while it runs; no name in it leads out of it. */
export class ContainerRoot implements Disposable {
  readonly #fd: Fd;

  constructor(fd: Fd) {
    this.#fd = fd;
  }

  static async of(operations: ManagementOperations, id: string): Promise<ContainerRoot> {
    const { pid, startTime, spec, bundle } = await operations.inspect(id);
    const running = pid > 0 ? openOf(pid, startTime) : undefined;
    if (running !== undefined) return new ContainerRoot(running);
    const path = spec.root?.path;
    if (path === undefined)
      throw new ManagementError('not-supported', `${id} has no root of its own`);
    const flags = O_DIRECTORY_PATH;
    return new ContainerRoot(openAt2(null, resolve(bundle, path), { flags, resolve: [] }));
  }

  /** A file or directory by its path in the container. ManagementError 'path-not-found'. */
  open(path: string, flags: number): Fd {
    try {
      return openAt2(this.#fd, path, { flags, resolve: CONFINED });
    } catch (error) {
      if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENOTDIR')) throw AgentError.from(error);
      throw new ManagementError('path-not-found', `${path}: ${(error as Error).message}`);
    }
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/** Undefined when the process has ended. */
function openOf(pid: number, startTime: number): Fd | undefined {
  using opened = new DisposableStack();
  try {
    const flags = O_DIRECTORY_PATH;
    const fd = opened.use(openAt2(null, `/proc/${pid}/root`, { flags, resolve: [] }));
    // Whose root it is: a pid is only itself with its start time.
    if (processStartTime(pid) !== startTime) return undefined;
    opened.move();
    return fd;
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ESRCH')) return undefined;
    throw error;
  }
}
