import { constants } from 'node:fs';
import type { Logger } from '../log/logger.ts';
import { errnoName } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { openFile } from '../os/pipe.ts';
import { NativeRelay, type RelayNews, type RelayOptions, type RelayResult } from '../os/relay.ts';
import { shutdown } from '../os/socket.ts';
import type { CriLog } from './cri-log.ts';
import { untilHostClosed } from './host-close.ts';
import type { PipeEnds } from './keeper.ts';
import type { DrainPolicy, StreamOutcome, StreamReport } from './stdio.ts';

export interface OutputSettings {
  /** Log in the CRI's format that gets a copy of all output. Stays its owner's, and must stay open until the session has closed. */
  criLog?: CriLog | undefined;
  /** A host that closes its connection ends nothing: the output goes to the log files alone from then on. */
  outliveHost?: boolean | undefined;
}

export interface OutputOptions extends OutputSettings {
  /** What the CRI log calls it. */
  name: 'stdout' | 'stderr';
  /** Read end of a pipe, or a pty master. Owned by the stream. */
  source: Fd;
  sourceKind: 'pipe' | 'pty';
  /** Connection to the host, or a sink. Owned by the stream. */
  destination: Fd;
  /** 'await-host': half-close and let the host close first. 'close': close at once. */
  atEnd: 'await-host' | 'close';
  /** See RelayOptions. Owned by the stream. */
  through?: PipeEnds | undefined;
  /** Log file. Owned by the stream. */
  tee: Fd | undefined;
  policy: DrainPolicy;
  log: Logger;
}

function outcomeOf(result: RelayResult): StreamOutcome {
  switch (result.end) {
    case 'eof':
      return 'drained';
    case 'destination-closed':
      return 'host-closed';
    case 'cancelled':
      return 'cut';
    case 'error':
      return 'error';
  }
}

/** What a relay may have and most have not. */
function extrasOf(options: OutputOptions, sink: Fd | undefined): Partial<RelayOptions> {
  const { name, tee, through, criLog } = options;
  return {
    ...(tee === undefined ? {} : { tee }),
    ...(through === undefined ? {} : { through }),
    ...(criLog === undefined ? {} : { criLog: { log: criLog, stream: name } }),
    ...(sink === undefined ? {} : { sink }),
  };
}

/** A place where bytes vanish. */
export function openSink(): Fd {
  return openFile('/dev/null', constants.O_WRONLY);
}

/**
 * stdout or stderr of a process on the way to the host. Three stages: the relay runs until the
 * end of the stream; the connection is ended and the host closes it; everything is closed.
 */
export class OutputStream {
  /** Settles when this stream no longer holds the wait reply back: closed, or cut at a bound. */
  readonly drained: Promise<StreamReport>;
  /** Settles when the relay has ended: nobody writes to the stream any more, or nobody can. */
  readonly ended: Promise<RelayResult>;
  /** Settles when every descriptor is closed and the thread has ended. */
  readonly closed: Promise<StreamReport>;
  readonly #options: OutputOptions;
  readonly #relay: NativeRelay;
  readonly #abort = new AbortController();
  readonly #cut = Promise.withResolvers<StreamReport>();
  readonly #over = Promise.withResolvers<void>();
  #sink: Fd | undefined;
  #grandchildTimer: NodeJS.Timeout | undefined;
  #result: StreamReport | undefined;

  /** Owns the descriptors also when it throws. */
  constructor(options: OutputOptions) {
    this.#options = options;
    const logs = options.tee !== undefined || options.criLog !== undefined;
    try {
      if (options.outliveHost === true && logs) this.#sink = openSink();
      this.#relay = NativeRelay.start({
        source: options.source,
        destination: options.destination,
        method: options.sourceKind === 'pipe' ? 'splice' : 'copy',
        watchDestination: true,
        eioIsEof: options.sourceKind === 'pty',
        onNews: (news) => this.#heed(news),
        ...extrasOf(options, this.#sink),
      });
    } catch (error) {
      this.#closeAll();
      throw error;
    }
    this.ended = this.#relay.done;
    this.closed = this.#finish();
    this.drained = Promise.race([this.closed, this.#cut.promise]);
  }

  /** Starts the bound for whoever else holds the stream. Never shortens what the process itself wrote. */
  processExited(): void {
    this.#over.resolve();
    if (this.#result !== undefined || this.#grandchildTimer !== undefined) return;
    const bound = Promise.withResolvers<void>();
    this.#grandchildTimer = setTimeout(bound.resolve, this.#options.policy.grandchildMs);
    // The barrier is what is in the stream now: all that the process wrote and did not live to see
    // delivered. Who goes on writing later gets no more than the bound.
    void Promise.all([this.#relay.barrier(), bound.promise]).then(() => {
      if (this.#result === undefined)
        this.#cut.resolve({ bytes: this.#relay.bytes, outcome: 'cut' });
    });
  }

  abort(): void {
    this.#relay.cancel();
    this.#abort.abort();
    this.#over.resolve();
  }

  snapshot(): StreamReport {
    return this.#result ?? { bytes: this.#relay.bytes, outcome: 'open' };
  }

  async #finish(): Promise<StreamReport> {
    const result = await this.#relay.done;
    clearTimeout(this.#grandchildTimer);
    const { atEnd, destination, log, policy, sourceKind } = this.#options;
    if (result.end === 'error')
      log.warning('stream relay failed', { errno: errnoName(result.errno), bytes: result.bytes });
    const report: StreamReport = { bytes: result.bytes, outcome: outcomeOf(result) };
    this.#result = report;
    try {
      if (atEnd === 'await-host' && result.end === 'eof' && destination.open) {
        shutdown(destination, 'write');
        const close = await untilHostClosed(destination, policy.hostCloseMs, this.#abort.signal);
        if (close === 'aborted') return { ...report, outcome: 'cut' };
      }
      if (sourceKind === 'pty' && result.end === 'eof') {
        // All slaves are closed, but the process may live on for a moment (programs that look for
        // write errors close their streams first) or for long. Closing the master would send it
        // SIGHUP, and its exit code would be lost.
        destination.close();
        await this.#over.promise;
      }
    } catch (error) {
      // Every byte is delivered; what failed is only the waiting for the host.
      this.#options.log.warning('cannot wait for the host to close a stream', { error });
    } finally {
      // After another end than 'eof' a process that still writes gets EPIPE now (on a pty EIO and
      // SIGHUP) instead of a stream that fills up and blocks it for ever.
      this.#closeAll();
    }
    return report;
  }

  #heed(news: RelayNews): void {
    const { log, destination } = this.#options;
    if (news === 'destination-lost') destination.close();
    else if (news === 'tee-stopped') log.warning('copy of a stream to its log file stopped');
    else log.warning('a log lost entries', { counts: this.#options.criLog?.counts });
  }

  #closeAll(): void {
    const { source, destination, tee, through } = this.#options;
    for (const fd of [source, destination, tee, through?.read, through?.write, this.#sink])
      fd?.close();
  }
}
