import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { Fd } from '../os/fd.ts';
import { openPty, type WindowSize } from '../os/pty.ts';
import type { ProcessStdio } from '../runtime/runtime.ts';
import { ConnectionSet } from '../stdio/connection-set.ts';
import { DirectStdio } from '../stdio/direct-stdio.ts';
import { PipeRelay } from '../stdio/pipe-relay.ts';
import { ProcessPipes, type UnusedStream } from '../stdio/process-pipes.ts';
import type { DrainPolicy, StdioPorts, StdioSession } from '../stdio/stdio.ts';
import { TtyRelay } from '../stdio/tty-relay.ts';
import type { Transport } from '../vsock/transport.ts';

/** The agent's side of a process's streams, from before it exists until the relay takes them over. */
export interface ProcessStreams extends Disposable {
  /** What the process is to get. */
  readonly stdio: ProcessStdio;
  /** The process has its ends; `terminal` is the master of its console when it has one. */
  started(terminal: Fd | undefined): void;
  /** Joins them to the host. Whatever becomes of it, these streams are given away. */
  relay(connections: ConnectionSet): StdioSession;
}

export interface RelaySettings {
  policy: DrainPolicy;
  log: Logger;
}

class PipeStreams implements ProcessStreams {
  readonly stdio: ProcessStdio;
  readonly #pipes: ProcessPipes;
  readonly #settings: RelaySettings;
  #log: Fd | undefined;

  constructor(pipes: ProcessPipes, settings: RelaySettings, log: Fd | undefined) {
    this.#pipes = pipes;
    this.#settings = settings;
    this.#log = log;
    this.stdio = { kind: 'descriptors', ...pipes.processEnds };
  }

  started(): void {
    this.#pipes.closeProcessEnds();
  }

  relay(connections: ConnectionSet): StdioSession {
    const tee = this.#log === undefined ? {} : { tee: this.#takeLog(this.#log) };
    return new PipeRelay({
      connections,
      pipes: this.#pipes.takeAgentEnds(),
      ...this.#settings,
      ...tee,
    });
  }

  /** One file for both streams: appended to, it has what came first first. */
  #takeLog(log: Fd): { stdout: Fd; stderr: Fd } {
    const tee = { stdout: log.dup(), stderr: log };
    this.#log = undefined;
    return tee;
  }

  [Symbol.dispose](): void {
    this.#pipes[Symbol.dispose]();
    this.#log?.close();
    this.#log = undefined;
  }
}

class TerminalStreams implements ProcessStreams {
  readonly stdio: ProcessStdio = { kind: 'terminal' };
  readonly #settings: RelaySettings;
  #master: Fd | undefined;
  #log: Fd | undefined;

  constructor(settings: RelaySettings, log?: Fd) {
    this.#settings = settings;
    this.#log = log;
  }

  started(terminal: Fd | undefined): void {
    this.#master = terminal;
  }

  relay(connections: ConnectionSet): StdioSession {
    const master = this.#master;
    if (master === undefined) {
      throw new AgentError(
        'failed',
        'the runtime gave no terminal for a process that asked for one',
      );
    }
    const tee = this.#log === undefined ? {} : { tee: this.#log };
    this.#master = this.#log = undefined;
    return new TtyRelay({ connections, master, ...this.#settings, ...tee });
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#master, this.#log]) fd?.close();
    this.#master = this.#log = undefined;
  }
}

/** Makes the streams of processes of every kind. */
export class StreamFactory {
  readonly #transport: Transport;
  readonly #settings: RelaySettings;

  constructor(transport: Transport, settings: RelaySettings) {
    this.#transport = transport;
    this.#settings = settings;
  }

  /** Dials the host: stdin, stdout, stderr. What is not taken from the set is closed with it. */
  async dial(ports: StdioPorts): Promise<ConnectionSet> {
    try {
      return await ConnectionSet.dial(this.#transport, ports);
    } catch (error) {
      throw AgentError.from(error, { operation: 'stdio' });
    }
  }

  /**
   * @param ports which streams are wanted, or 'later' for an init process whose ports are only
   * known when it is started: it gets all three, and those not wanted then are closed.
   * @param log a file that gets a copy of all output; owned by the streams, also when this throws.
   */
  forProcess(terminal: boolean, ports: StdioPorts | 'later', log?: Fd): ProcessStreams {
    if (terminal) return new TerminalStreams(this.#settings, log);
    const wanted =
      ports === 'later'
        ? { stdin: true, stdout: true, stderr: true }
        : {
            stdin: ports.stdin !== undefined,
            stdout: ports.stdout !== undefined,
            stderr: ports.stderr !== undefined,
          };
    const unused: UnusedStream = ports === 'later' ? 'closed-pipe' : 'dev-null';
    try {
      return new PipeStreams(new ProcessPipes(wanted, unused), this.#settings, log);
    } catch (error) {
      log?.close();
      throw error;
    }
  }

  /** A pseudo-terminal for a process of the VM; `path` is its slave. */
  openTerminal(size: WindowSize | undefined): ProcessStreams & { readonly path: string } {
    const { master, path } = openPty(size);
    const streams = new TerminalStreams(this.#settings);
    streams.started(master);
    return Object.assign(streams, { path });
  }

  /** The host's connections themselves as the process's descriptors. */
  direct(connections: ConnectionSet): DirectStdio {
    return new DirectStdio(connections);
  }
}
