import type { Duplex } from 'node:stream';
import {
  MANAGEMENT_VERSION,
  type MethodName,
  type ParamsInput,
  type Result,
} from '../../management/contract.ts';
import type { OciProcess } from '../../spec/oci.ts';
import { EmulatedHost } from '../../vsock/emulator/host.ts';
import { MANAGEMENT_PORT } from '../../vsock/ports.ts';
import { type Transport, TransportError } from '../../vsock/transport.ts';
import { type CallOptions, ManagementConnection } from './connection.ts';
import { ManagementConnectionError } from './errors.ts';
import { type EventItem, type FollowOptions, followEvents } from './events.ts';
import { ManagedProcess, type WantedStreams } from './process.ts';
import { type OpenStream, openStreams } from './streams.ts';

export interface ConnectManagementOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the connection and `initialize`; default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Who asks, for the agent's log. */
  readonly client?: { readonly name: string; readonly version?: string } | undefined;
}

const CONNECT_MS = 10_000;

/**
 * Connects to the management door of an agent. `target`: PATH of hybrid:PATH (a VM's too), or a
 * transport of the host's side, which stays the caller's. Rejects with ManagementConnectionError
 * 'no-agent' when nobody serves it, or does so in time.
 */
export async function connectManagement(
  target: string | Transport,
  options: ConnectManagementOptions = {},
): Promise<ManagementClient> {
  const transport = typeof target === 'string' ? new EmulatedHost(target) : target;
  const { timeoutMs = CONNECT_MS } = options;
  const limit = new AbortController();
  const timer = setTimeout(() => {
    limit.abort(new ManagementConnectionError('no-agent', `no answer within ${timeoutMs} ms`));
  }, timeoutMs);
  const signal =
    options.signal === undefined ? limit.signal : AbortSignal.any([options.signal, limit.signal]);
  try {
    return await initialized(transport, signal, options);
  } finally {
    clearTimeout(timer);
  }
}

async function initialized(
  transport: Transport,
  signal: AbortSignal,
  options: ConnectManagementOptions,
): Promise<ManagementClient> {
  const rpc = new ManagementConnection(await dial(transport, signal));
  try {
    const server = await rpc.call(
      'initialize',
      { protocolVersion: MANAGEMENT_VERSION, client: options.client },
      { signal },
    );
    return new ManagementClient(transport, rpc, server, options);
  } catch (error) {
    rpc.close();
    throw error;
  }
}

async function dial(transport: Transport, signal: AbortSignal): Promise<Duplex> {
  try {
    return (await transport.dial(MANAGEMENT_PORT, { signal })).stream();
  } catch (cause) {
    if (cause instanceof TransportError && cause.code === 'refused') {
      const message = `nobody serves the management door: ${cause.message}`;
      throw new ManagementConnectionError('no-agent', message, { cause });
    }
    throw cause;
  }
}

/** One connection to the management door; MANAGEMENT.md has the methods. */
export class ManagementClient implements AsyncDisposable {
  /** What the agent said of itself. */
  readonly server: Result<'initialize'>;
  readonly #transport: Transport;
  readonly #rpc: ManagementConnection;
  readonly #options: ConnectManagementOptions;

  constructor(
    transport: Transport,
    rpc: ManagementConnection,
    server: Result<'initialize'>,
    options: ConnectManagementOptions,
  ) {
    this.#transport = transport;
    this.#rpc = rpc;
    this.server = server;
    this.#options = options;
  }

  /** Resolves with the reason once the connection has ended. */
  get ended(): Promise<ManagementConnectionError> {
    return this.#rpc.ended;
  }

  /** For notifications by hand; `events` is what most want. */
  get connection(): ManagementConnection {
    return this.#rpc;
  }

  /** One request of the contract; see ManagementConnection.call. */
  call<M extends MethodName>(
    method: M,
    params: ParamsInput<M>,
    options?: CallOptions,
  ): Promise<Result<M>> {
    return this.#rpc.call(method, params, options);
  }

  /** Connected streams for requests that take tokens. The caller owns them. */
  openStreams(count: number, options?: CallOptions): Promise<OpenStream[]> {
    return openStreams(this.#transport, this.#rpc, count, options);
  }

  /** Starts init of a created container. */
  async start(
    id: string,
    wanted: WantedStreams = {},
    options: CallOptions & { timeoutMs?: number } = {},
  ): Promise<ManagedProcess> {
    const { timeoutMs, ...call } = options;
    return this.#withStdio(wanted, call, async (stdio) => {
      const { pid } = await this.call('container.start', { id, stdio, timeoutMs }, call);
      return { containerId: id, processId: 'init', pid };
    });
  }

  /** Starts another process in a container. */
  async exec(
    containerId: string,
    process: OciProcess,
    wanted: WantedStreams = {},
    options: CallOptions & { processId?: string; timeoutMs?: number } = {},
  ): Promise<ManagedProcess> {
    const { processId, timeoutMs, ...call } = options;
    return this.#withStdio(wanted, call, async (stdio) => {
      const params = { containerId, process, stdio, processId, timeoutMs };
      return { containerId, ...(await this.call('process.exec', params, call)) };
    });
  }

  /** Joins a process that runs already. */
  async attach(
    containerId: string,
    processId: string,
    wanted: WantedStreams,
    options: CallOptions = {},
  ): Promise<ManagedProcess> {
    return this.#withStdio(wanted, options, async (stdio) => {
      const params = { containerId, processId, stdio: stdio ?? {} };
      return { containerId, ...(await this.call('process.attach', params, options)) };
    });
  }

  /**
   * A request whose data goes over a stream (logs, copies, profiles): `params` without `stream`.
   * The stream is the caller's; `done` is the answer, which comes when all of it was sent or taken.
   */
  async stream<M extends StreamedMethod>(
    method: M,
    params: Omit<ParamsInput<M>, 'stream'>,
    options?: CallOptions,
  ): Promise<{ stream: Duplex; done: Promise<Result<M>> }> {
    const [opened] = await this.openStreams(1, options);
    if (opened === undefined) throw new Error('no stream');
    const stream = opened.connection.stream();
    const done = this.call(method, { ...params, stream: opened.token } as ParamsInput<M>, options);
    // A request that failed has nobody at the other end of its stream.
    done.catch((error: unknown) => stream.destroy(error as Error));
    stream.on('error', () => {});
    return { stream: prepared(method === 'container.copyIn' ? 'stdin' : 'stdout', stream), done };
  }

  /** Events over connections of their own, across restarts of the agent; see followEvents. */
  events(options: FollowOptions = {}): AsyncGenerator<EventItem, void> {
    const connect = (signal: AbortSignal | undefined) =>
      connectManagement(this.#transport, { ...this.#options, signal });
    return followEvents(connect, options);
  }

  /** What is under way is given up by the agent, streams in use go on. */
  close(): void {
    this.#rpc.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #withStdio(
    wanted: WantedStreams,
    options: CallOptions,
    run: (
      stdio: { stdin?: string; stdout?: string; stderr?: string } | undefined,
    ) => Promise<{ containerId: string; processId: string; pid: number }>,
  ): Promise<ManagedProcess> {
    const names = (['stdin', 'stdout', 'stderr'] as const).filter((name) => wanted[name] === true);
    const opened = names.length === 0 ? [] : await this.openStreams(names.length, options);
    const pairs = names.flatMap((name, index) => {
      const each = opened[index];
      return each === undefined ? [] : [{ name, ...each }];
    });
    try {
      const tokens = Object.fromEntries(pairs.map(({ name, token }) => [name, token]));
      const process = await run(names.length === 0 ? undefined : tokens);
      const streams = pairs.map(({ name, connection }) => [
        name,
        prepared(name, connection.stream()),
      ]);
      return new ManagedProcess(this.#rpc, process, Object.fromEntries(streams));
    } catch (error) {
      for (const { connection } of pairs) connection.close();
      throw error;
    }
  }
}

export type StreamedMethod =
  | 'logs.read'
  | 'container.copyIn'
  | 'container.copyOut'
  | 'system.heapSnapshot'
  | 'system.cpuProfile';

/** Each stream goes one way: what comes the other way is only its end, which ends both. */
function prepared(name: 'stdin' | 'stdout' | 'stderr', stream: Duplex): Duplex {
  if (name === 'stdin') stream.resume();
  stream.on('end', () => stream.end());
  return stream;
}
