import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { DescriptorStore } from '../os/descriptor-store.ts';
import type { Fd } from '../os/fd.ts';
import { openPty, type WindowSize } from '../os/pty.ts';
import type { ProcessStdio } from '../runtime/runtime.ts';
import { ConnectionSet } from '../stdio/connection-set.ts';
import { DirectStdio } from '../stdio/direct-stdio.ts';
import { StdioKeeper } from '../stdio/keeper.ts';
import type { OutputSettings } from '../stdio/output-stream.ts';
import { PipeRelay, type RelaySettings } from '../stdio/pipe-relay.ts';
import { ProcessPipes, type UnusedStream } from '../stdio/process-pipes.ts';
import {
  closeStreams,
  fetchStreams,
  type KeptStreams,
  type ResumeOptions,
  resumeSession,
} from '../stdio/resume.ts';
import type { DrainPolicy, StdioPorts, StdioSession, StreamName } from '../stdio/stdio.ts';
import { TtyRelay } from '../stdio/tty-relay.ts';
import type { Transport } from '../vsock/transport.ts';

/** The agent's ends of the streams of a process that has its own, until the relay takes them over. */
export interface StartedStreams extends Disposable {
  /** Joins them to the host. Whatever becomes of it, these streams are given away. */
  relay(connections: ConnectionSet): StdioSession;
}

/** The agent's side of a process's streams, from before it exists. */
export interface ProcessStreams extends StartedStreams {
  /** What the process is to get. */
  readonly stdio: ProcessStdio;
  /** The process has its ends; `terminal` is the master of its console when it has one. */
  started(terminal: Fd | undefined): void;
}

export interface StreamSettings {
  policy: DrainPolicy;
  log: Logger;
  /** Where an agent that takes the place of this one finds the streams again. */
  store?: DescriptorStore;
}

export interface StreamOptions extends OutputSettings {
  /** A file that gets a copy of all output; owned by the streams, also when they cannot be made. */
  log?: Fd | undefined;
  keeper?: StdioKeeper | undefined;
}

class PipeStreams implements ProcessStreams {
  readonly stdio: ProcessStdio;
  readonly #pipes: ProcessPipes;
  readonly #settings: RelaySettings & OutputSettings;
  #tee: { stdout: Fd; stderr: Fd } | undefined;

  constructor(
    pipes: ProcessPipes,
    settings: RelaySettings & OutputSettings,
    tee: { stdout: Fd; stderr: Fd } | undefined,
  ) {
    this.#pipes = pipes;
    this.#settings = settings;
    this.#tee = tee;
    this.stdio = { kind: 'descriptors', ...pipes.processEnds };
  }

  started(): void {
    this.#pipes.closeProcessEnds();
  }

  relay(connections: ConnectionSet): StdioSession {
    const tee = this.#tee;
    this.#tee = undefined;
    return new PipeRelay({
      connections,
      pipes: this.#pipes.takeAgentEnds(),
      ...this.#settings,
      ...(tee === undefined ? {} : { tee }),
    });
  }

  [Symbol.dispose](): void {
    this.#pipes[Symbol.dispose]();
    this.#tee?.stdout.close();
    this.#tee?.stderr.close();
    this.#tee = undefined;
  }
}

class TerminalStreams implements ProcessStreams {
  readonly stdio: ProcessStdio = { kind: 'terminal' };
  readonly #settings: RelaySettings & OutputSettings;
  readonly #keeper: StdioKeeper | undefined;
  #master: Fd | undefined;
  #tee: Fd | undefined;

  constructor(settings: RelaySettings & OutputSettings, keeper?: StdioKeeper, tee?: Fd) {
    this.#settings = settings;
    this.#keeper = keeper;
    this.#tee = tee;
  }

  started(terminal: Fd | undefined): void {
    if (terminal === undefined) return;
    this.#master = this.#keeper?.keep('terminal', 'p', terminal) ?? terminal;
  }

  relay(connections: ConnectionSet): StdioSession {
    const master = this.#master;
    if (master === undefined) {
      throw new AgentError(
        'failed',
        'the runtime gave no terminal for a process that asked for one',
      );
    }
    const tee = this.#tee;
    this.#master = this.#tee = undefined;
    return new TtyRelay({
      connections,
      master,
      keeper: this.#keeper,
      ...this.#settings,
      ...(tee === undefined ? {} : { tee }),
    });
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#master, this.#tee]) fd?.close();
    this.#master = this.#tee = undefined;
  }
}

/** The streams of a process that an agent before this one made and never joined to the host. */
class ResumedStreams implements StartedStreams {
  readonly #streams: KeptStreams;
  readonly #options: ResumeOptions;
  #given = false;

  constructor(streams: KeptStreams, options: ResumeOptions) {
    this.#streams = streams;
    this.#options = options;
  }

  relay(connections: ConnectionSet): StdioSession {
    this.#given = true;
    return resumeSession({ ...this.#streams, connections: connections.take() }, this.#options);
  }

  [Symbol.dispose](): void {
    if (!this.#given) closeStreams(this.#streams);
    this.#given = true;
  }
}

/** Makes the streams of processes of every kind. */
export class StreamFactory {
  readonly #transport: Transport;
  readonly #settings: RelaySettings;
  readonly #store: DescriptorStore | undefined;

  constructor(transport: Transport, settings: StreamSettings) {
    const { store, ...rest } = settings;
    this.#transport = transport;
    this.#settings = rest;
    this.#store = store?.available === true ? store : undefined;
  }

  /**
   * What keeps the streams of one process beyond this agent; undefined where nobody keeps anything.
   *
   * @param number of the process's streams, which no process that the store knows has.
   */
  keeper(number: number): StdioKeeper | undefined {
    return this.#store === undefined ? undefined : new StdioKeeper(this.#store, number);
  }

  /**
   * Resolves when the kernel has all that keepers were given: at once, unless their store is very
   * busy. To be waited for before the host is told of a process, whose streams shall outlive a kill
   * from then on.
   */
  async kept(): Promise<void> {
    await this.#store?.flush();
  }

  /** Dials the host: stdin, stdout, stderr. What is not taken from the set is closed with it. */
  async dial(ports: StdioPorts, keeper?: StdioKeeper): Promise<ConnectionSet> {
    try {
      return await ConnectionSet.dial(this.#transport, ports, { keeper });
    } catch (error) {
      throw AgentError.from(error, { operation: 'stdio' });
    }
  }

  /**
   * @param ports which streams are wanted, or 'later' for an init process whose ports are only
   * known when it is started: it gets all three, and those not wanted then are closed.
   */
  forProcess(
    terminal: boolean,
    ports: Readonly<Partial<Record<StreamName, unknown>>> | 'later',
    options: StreamOptions = {},
  ): ProcessStreams {
    const { log, keeper, ...output } = options;
    const settings = { ...this.#settings, ...output };
    if (terminal) {
      return new TerminalStreams(
        settings,
        keeper,
        log && (keeper?.keep('stdout', 'l', log) ?? log),
      );
    }
    const wanted =
      ports === 'later'
        ? { stdin: true, stdout: true, stderr: true }
        : {
            stdin: ports.stdin !== undefined,
            stdout: ports.stdout !== undefined,
            stderr: ports.stderr !== undefined,
          };
    const unused: UnusedStream = ports === 'later' ? 'closed-pipe' : 'dev-null';
    const tee = log && teeOf(log, keeper);
    try {
      return new PipeStreams(new ProcessPipes(wanted, unused, keeper), settings, tee);
    } catch (error) {
      tee?.stdout.close();
      tee?.stderr.close();
      throw error;
    }
  }

  /** A pseudo-terminal for a process of the VM; `path` is its slave. */
  openTerminal(
    size: WindowSize | undefined,
    keeper?: StdioKeeper,
  ): ProcessStreams & { readonly path: string } {
    const { master, path } = openPty(size);
    const streams = new TerminalStreams(this.#settings, keeper);
    streams.started(master);
    return Object.assign(streams, { path });
  }

  /** The host's connections themselves as the process's descriptors. */
  direct(connections: ConnectionSet): DirectStdio {
    return new DirectStdio(connections);
  }

  /** The streams of a process that an agent before this one had started; see resumeSession(). `connections` take the place of those that were kept. */
  async resume(
    number: number,
    options: ResumedOptions & { connections?: ConnectionSet },
  ): Promise<StdioSession> {
    const { connections, ...rest } = options;
    const streams = await this.#fetch(number, rest);
    if (connections === undefined) return resumeSession(streams, this.#resumeOptions(rest));
    for (const fd of Object.values(streams.connections)) fd?.close();
    const joined = { ...streams, connections: connections.take() };
    return resumeSession(joined, this.#resumeOptions(rest));
  }

  /** The streams of a container that was created and not started. A start under way is undone: connections are closed. */
  async resumeUnstarted(number: number, options: ResumedOptions): Promise<StartedStreams> {
    const streams = await this.#fetch(number, options);
    for (const fd of Object.values(streams.connections)) fd?.close();
    return new ResumedStreams(streams, this.#resumeOptions(options));
  }

  async #fetch(number: number, { names }: ResumedOptions): Promise<KeptStreams> {
    if (this.#store === undefined)
      throw new AgentError('failed', `nobody kept the streams ${number}`, { operation: 'stdio' });
    return await fetchStreams(this.#store, number, names);
  }

  #resumeOptions({ names: _, ...options }: ResumedOptions): ResumeOptions {
    return { ...this.#settings, ...options };
  }
}

export interface ResumedOptions extends OutputSettings {
  terminal: boolean;
  /** All names of the store, for who resumes many. */
  names?: readonly string[];
}

/** One file for both streams: appended to, it has what came first first. */
function teeOf(log: Fd, keeper: StdioKeeper | undefined): { stdout: Fd; stderr: Fd } {
  const second = log.dup();
  if (keeper === undefined) return { stdout: second, stderr: log };
  return { stdout: keeper.keep('stdout', 'l', second), stderr: keeper.keep('stderr', 'l', log) };
}
