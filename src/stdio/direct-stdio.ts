import { constants } from 'node:os';
import { OsError } from '../os/errors.ts';
import { setNonBlock } from '../os/pipe.ts';
import type { WindowSize } from '../os/pty.ts';
import type { ConnectionSet, StdioFds } from './connection-set.ts';
import { type StdioReport, type StdioSession, streamNames } from './stdio.ts';

/**
 * The connections themselves as the standard streams of a process: no relay, no copy, no drain.
 * The host sees the end of a stream when the last process that holds it has ended, a process that
 * outlives the agent keeps its streams, and nothing is counted (the reports are empty).
 *
 * A process that opens /dev/stdout again needs pipes instead: sockets cannot be opened (ENXIO).
 */
export class DirectStdio implements StdioSession, Disposable {
  readonly terminal = false;
  readonly drained: Promise<StdioReport>;
  readonly closed: Promise<StdioReport>;
  readonly #fds: StdioFds;
  readonly #over = Promise.withResolvers<StdioReport>();

  constructor(connections: ConnectionSet) {
    this.#fds = connections.take();
    this.drained = this.#over.promise;
    this.closed = this.#over.promise;
    // Programs expect blocking streams (`dd` dies of EAGAIN), and posix_spawn changes no flags.
    for (const name of streamNames) {
      const fd = this.#fds[name];
      if (fd !== null) setNonBlock(fd, false);
    }
  }

  /** Descriptors 0 to 2 of the process, for SpawnOptions; null is /dev/null. */
  get stdio(): (number | null)[] {
    return streamNames.map((name) => this.#fds[name]?.raw ?? null);
  }

  /** To be called as soon as the process has been spawned, or could not be: the streams are the process's alone from now on. */
  release(): void {
    for (const name of streamNames) this.#fds[name]?.close();
  }

  processExited(): void {
    this.release();
    this.#over.resolve({});
  }
  resize(_size: WindowSize): void {
    throw new OsError('ioctl TIOCSWINSZ', constants.errno.ENOTTY, 'the process has no terminal');
  }
  /** Its stdin is the connection itself, which the host alone can end. */
  closeStdin(): void {}
  /** Closes our ends; the process keeps its own. */
  abort(): void {
    this.processExited();
  }
  snapshot(): StdioReport {
    return {};
  }
  [Symbol.dispose](): void {
    this.release();
  }
}
