import type { Logger } from '../log/logger.ts';
import { errnoName } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { NativeRelay, type RelayResult } from '../os/relay.ts';
import { shutdown } from '../os/socket.ts';
import type { PipeEnds } from './keeper.ts';
import type { StreamOutcome, StreamReport } from './stdio.ts';

export interface InputOptions {
  /** Connection to the host. Owned by the stream. */
  source: Fd;
  /**
   * Write end of a pipe, or (a duplicate of) a pty master. Owned by the stream. Null when the process
   * has closed its end already: the connection alone is held until stop().
   */
  destination: Fd | null;
  destinationKind: 'pipe' | 'pty';
  /** See RelayOptions. Owned by the stream. */
  through?: PipeEnds | undefined;
  log: Logger;
}

function outcomeOf(result: RelayResult): StreamOutcome {
  switch (result.end) {
    case 'eof':
      return 'drained';
    case 'destination-closed':
    case 'cancelled':
      return 'process-closed';
    case 'error':
      // A vsock whose peer went without closing.
      return errnoName(result.errno) === 'ECONNRESET' ? 'host-closed' : 'error';
  }
}

/**
 * stdin of a process, from the host. A host that half-closes gives the process the end of a pipe;
 * to a terminal it does nothing, as closing our descriptor of the master is no ^D. A process that
 * closes its end stops the reading; the connection stays until stop(), so that the host can go on
 * without an error as long as the process lives.
 */
export class InputStream {
  /** Settles when every descriptor is closed and the thread has ended; not before stop(). */
  readonly closed: Promise<StreamReport>;
  readonly #options: InputOptions;
  readonly #relay: NativeRelay | undefined;
  readonly #stopped = Promise.withResolvers<void>();
  #result: StreamReport | undefined;

  /** Owns the descriptors also when it throws. */
  constructor(options: InputOptions) {
    this.#options = options;
    const { source, destination, destinationKind, through } = options;
    try {
      if (destination !== null)
        this.#relay = NativeRelay.start({
          source,
          destination,
          method: destinationKind === 'pipe' ? 'splice' : 'copy',
          watchDestination: true,
          ...(through === undefined ? {} : { through }),
        });
    } catch (error) {
      this.#closeAll();
      throw error;
    }
    this.closed = this.#finish();
  }

  /** The process has ended, or everything is to end: takes nothing more and closes. */
  stop(): void {
    this.#relay?.cancel();
    this.#stopped.resolve();
  }

  /**
   * As if the host had half-closed. What it has sent and the process has not taken yet is delivered
   * as far as the socket still gives it: unix(7) all, vsock what was in the relay.
   */
  end(): void {
    if (this.#result === undefined) shutdown(this.#options.source, 'read');
  }

  snapshot(): StreamReport {
    return this.#result ?? { bytes: this.#relay?.bytes ?? 0, outcome: 'open' };
  }

  async #finish(): Promise<StreamReport> {
    const { source, log } = this.#options;
    const report = await this.#relayed();
    this.#result = report;
    this.#closeDestination();
    await this.#stopped.promise;
    try {
      // The host's next write fails with EPIPE also while somebody else holds the connection.
      shutdown(source, 'read');
    } catch (error) {
      log.warning('cannot shut down stdin', { error });
    } finally {
      this.#closeAll();
    }
    return report;
  }

  async #relayed(): Promise<StreamReport> {
    if (this.#relay === undefined) return { bytes: 0, outcome: 'process-closed' };
    const result = await this.#relay.done;
    if (result.end === 'error')
      this.#options.log.warning('stdin relay failed', {
        errno: errnoName(result.errno),
        bytes: result.bytes,
      });
    return { bytes: result.bytes, outcome: outcomeOf(result) };
  }

  #closeDestination(): void {
    const { destination, through } = this.#options;
    for (const fd of [destination, through?.read, through?.write]) fd?.close();
  }

  #closeAll(): void {
    this.#options.source.close();
    this.#closeDestination();
  }
}
