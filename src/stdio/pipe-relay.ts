import { constants as osConstants } from 'node:os';
import { type Logger, silentLogger } from '../log/logger.ts';
import { OsError } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import type { WindowSize } from '../os/pty.ts';
import type { ConnectionSet, StdioFds } from './connection-set.ts';
import { InputStream } from './input-stream.ts';
import { defaultDrainPolicy } from './limits.ts';
import { type OutputSettings, OutputStream, openSink } from './output-stream.ts';
import { RelayedSession } from './relayed-session.ts';
import type { AgentPipes, DrainPolicy, StreamName } from './stdio.ts';
import { StreamGroup, type Streams } from './stream-group.ts';

export interface RelaySettings {
  /** Default: see limits.ts. */
  policy?: DrainPolicy;
  log?: Logger;
}

export interface RelaySessionOptions extends RelaySettings, OutputSettings {
  /** Emptied by the session. */
  connections: ConnectionSet;
}

export interface PipeRelayOptions extends RelaySessionOptions {
  /** Owned by the session from now on, also when it cannot be started. */
  pipes: AgentPipes;
  /**
   * Log files that get a copy of every byte. Owned like the pipes. A stream that has a pipe but no
   * connection is read all the same and goes to its log file alone.
   */
  tee?: { stdout?: Fd | null; stderr?: Fd | null };
  /** An agent before this one had started it: stdin's connection without a pipe is one whose pipe the process had closed. */
  resumed?: boolean;
}

/** What no stream has taken over yet. A stream owns what it is made of, also when it cannot start. */
class Unclaimed {
  readonly connections: StdioFds;
  readonly pipes: AgentPipes;
  readonly tees: { stdout: Fd | null; stderr: Fd | null };

  constructor(options: PipeRelayOptions) {
    const { connections, pipes, tee = {} } = options;
    this.connections = connections.take();
    this.pipes = { ...pipes };
    this.tees = { stdout: tee.stdout ?? null, stderr: tee.stderr ?? null };
  }

  claim(name: StreamName): { connection: Fd | null; pipe: Fd | null; tee: Fd | null } {
    const claimed = {
      connection: this.connections[name],
      pipe: this.pipes[name],
      tee: name === 'stdin' ? null : this.tees[name],
    };
    this.connections[name] = this.pipes[name] = null;
    if (name !== 'stdin') this.tees[name] = null;
    return claimed;
  }

  close(): void {
    const { connections, pipes, tees } = this;
    for (const group of [connections, pipes, tees])
      for (const fd of Object.values(group)) fd?.close();
  }
}

function startInput(unclaimed: Unclaimed, options: PipeRelayOptions): InputStream | undefined {
  const { resumed = false, log: all = silentLogger } = options;
  if (unclaimed.connections.stdin === null) return undefined;
  if (unclaimed.pipes.stdin === null && !resumed) return undefined;
  const log = all.with({ stream: 'stdin' });
  const { connection, pipe } = unclaimed.claim('stdin');
  if (connection === null) return undefined;
  return new InputStream({ source: connection, destination: pipe, destinationKind: 'pipe', log });
}

function startOutput(
  name: 'stdout' | 'stderr',
  unclaimed: Unclaimed,
  options: PipeRelayOptions,
): OutputStream | undefined {
  const { policy = defaultDrainPolicy, log = silentLogger, outliveHost, criLog } = options;
  if (unclaimed.pipes[name] === null) return undefined;
  const sink = unclaimed.connections[name] === null ? openSink() : null;
  const { connection, pipe, tee } = unclaimed.claim(name);
  const destination = connection ?? sink;
  if (pipe === null || destination === null) return undefined;
  return new OutputStream({
    source: pipe,
    sourceKind: 'pipe',
    destination,
    atEnd: sink === null ? 'await-host' : 'close',
    tee: tee ?? undefined,
    name,
    outliveHost,
    criLog,
    policy,
    log: log.with({ stream: name }),
  });
}

function startStreams(options: PipeRelayOptions): StreamGroup {
  const unclaimed = new Unclaimed(options);
  const streams: Streams = {};
  try {
    streams.stdin = startInput(unclaimed, options);
    streams.stdout = startOutput('stdout', unclaimed, options);
    streams.stderr = startOutput('stderr', unclaimed, options);
    return new StreamGroup(streams);
  } catch (error) {
    new StreamGroup(streams).abort();
    throw error;
  } finally {
    // What has no counterpart has no use: its other side sees it closed at once.
    unclaimed.close();
  }
}

/** Relays the pipes of one process, a native thread for each stream. */
export class PipeRelay extends RelayedSession {
  override readonly terminal = false;
  protected override readonly group: StreamGroup;

  /** Throws OsError (EMFILE, EAGAIN) when a relay cannot be started; everything is closed then. */
  constructor(options: PipeRelayOptions) {
    super();
    this.group = startStreams(options);
  }

  override resize(_size: WindowSize): void {
    throw new OsError('ioctl TIOCSWINSZ', osConstants.errno.ENOTTY, 'the process has no terminal');
  }
}
