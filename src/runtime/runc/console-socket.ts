import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Fd } from '../../os/fd.ts';
import { type FdListener, listenUnix, receiveFds } from '../../os/socket.ts';

/** sun_path without its NUL, see unix(7). */
const pathLimit = 107;

/** The runtime connects and sends before it ends, so this only bounds one that did neither. */
const receiveLimitMs = 10_000;

/**
 * Where an OCI runtime sends the master of a new process's terminal (`--console-socket`): one
 * connection, one message with one descriptor.
 */
export class ConsoleSocket implements Disposable {
  readonly #listener: FdListener;
  readonly #directory: number;
  /** What the runtime is told; runtimes do not shorten paths themselves. */
  readonly path: string;

  constructor(directory: string) {
    const path = join(directory, 'console.sock');
    this.#directory = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      this.#listener = listenUnix(path, 1);
    } catch (error) {
      closeSync(this.#directory);
      throw error;
    }
    this.path =
      Buffer.byteLength(path) <= pathLimit
        ? path
        : `/proc/${process.pid}/fd/${this.#directory}/console.sock`;
  }

  /** The master; call when the runtime has succeeded. */
  async master(): Promise<Fd> {
    const signal = AbortSignal.timeout(receiveLimitMs);
    using connection = await this.#listener.accept({ signal });
    const { fds } = await receiveFds(connection, { signal, maxFds: 1 });
    const [master] = fds;
    if (master === undefined) throw new Error('the runtime sent no terminal to the console socket');
    return master;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    closeSync(this.#directory);
  }
}
