import type { Duplex } from 'node:stream';
import type { Notification, Reply, RequestInput } from '../bridge/catalogue.ts';
import { NULL_CONTAINER_ID, PROTOCOL_VERSION, type RequestName } from '../bridge/message-types.ts';
import type { OciSpec } from '../spec/oci.ts';
import type { Transport } from '../vsock/transport.ts';
import { GuestBridge, type RpcOptions } from './bridge.ts';
import { acceptBridge, type ConnectLimits, connect, dialBridge } from './connect.ts';
import { GuestContainer } from './container.ts';
import { BridgeError } from './errors.ts';
import { execute, type GuestContext, streamNames } from './execute.ts';
import { Broadcast, type ContainerExit, toContainerExit } from './notifications.ts';
import { GuestProcess } from './process.ts';
import { ContainerRegistry } from './registry.ts';
import { StdioEndpoint, type StreamOptions } from './stdio.ts';

export interface ClientOptions {
  /** See BridgeOptions.strict. */
  readonly strict?: boolean;
  /**
   * This host takes over from an earlier one: exits of containers it does not know are delivered
   * as notifications instead of being a breach of the protocol. Default false.
   */
  readonly takesOver?: boolean;
}

export interface ConnectOptions extends ClientOptions, ConnectLimits {}

export interface CreateOptions {
  /** Name of the container; hcsshim uses 64 hexadecimal digits. */
  readonly id: string;
  /** Directory in the guest for its configuration: made by the guest and removed with the container. */
  readonly bundle: string;
  readonly spec: OciSpec;
  /** Directory in the guest that is removed with the container. */
  readonly scratchDir?: string;
}

export interface VmProcessOptions extends StreamOptions {
  /** argv; a program without a slash is looked up in the agent's own PATH. */
  readonly args: readonly string[];
  /** The only variables it gets. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly terminal?: boolean;
  /** Initial size of the terminal. */
  readonly size?: { readonly width: number; readonly height: number };
}

export type GuestCapabilities = NonNullable<Reply<'NegotiateProtocol'>['Capabilities']>;

/** One guest, as its host sees it: the bridge, negotiated, and what can be asked over it. */
export class GuestClient implements AsyncDisposable {
  /** Resolves with the reason once the bridge has ended, for whatever reason. */
  readonly ended: Promise<BridgeError>;
  readonly #context: GuestContext;
  readonly #exits = new Broadcast<ContainerExit>();
  readonly #takesOver: boolean;
  #capabilities: GuestCapabilities | undefined;

  private constructor(stream: Duplex, transport: Transport | undefined, options: ClientOptions) {
    const end = Promise.withResolvers<BridgeError>();
    this.ended = end.promise;
    this.#takesOver = options.takesOver ?? false;
    const containers = new ContainerRegistry();
    const bridge = new GuestBridge(stream, {
      strict: options.strict ?? true,
      onNotification: (message) => this.#notified(message),
      onEnd: (failure) => {
        containers.fail(failure);
        this.#exits.fail(failure);
        end.resolve(failure);
      },
    });
    const stdio = transport === undefined ? undefined : new StdioEndpoint(transport);
    this.#context = { bridge, stdio, containers };
  }

  /**
   * Waits for a guest to dial the bridge port, takes that one connection and negotiates. The
   * transport stays the caller's. Rejects with BridgeError 'no-guest' when none came in time.
   */
  static async accept(transport: Transport, options: ConnectOptions = {}): Promise<GuestClient> {
    return connect(options, async (signal) => {
      const connection = await acceptBridge(transport, signal);
      return GuestClient.#negotiated(connection.stream(), transport, options, signal);
    });
  }

  /** Connects to a guest that listens on the bridge port (the agent's -listen) and negotiates. */
  static async dial(transport: Transport, options: ConnectOptions = {}): Promise<GuestClient> {
    return connect(options, async (signal) => {
      const connection = await dialBridge(transport, signal);
      return GuestClient.#negotiated(connection.stream(), transport, options, signal);
    });
  }

  /**
   * Negotiates over a connection that exists. Without a `transport` no process can have streams.
   * Owns the connection, also when it fails.
   */
  static async over(
    stream: Duplex,
    options: ConnectOptions & { transport?: Transport } = {},
  ): Promise<GuestClient> {
    try {
      return await connect(options, (signal) =>
        GuestClient.#negotiated(stream, options.transport, options, signal),
      );
    } catch (error) {
      stream.destroy();
      throw error;
    }
  }

  static async #negotiated(
    stream: Duplex,
    transport: Transport | undefined,
    options: ClientOptions,
    signal: AbortSignal,
  ): Promise<GuestClient> {
    const client = new GuestClient(stream, transport, options);
    try {
      await client.#negotiate(signal);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /** What the guest said of itself. */
  get capabilities(): GuestCapabilities {
    if (this.#capabilities === undefined) throw new Error('not negotiated');
    return this.#capabilities;
  }

  /** Why the bridge has ended; undefined while it lives. */
  get failure(): BridgeError | undefined {
    return this.#context.bridge.failure;
  }

  /** Sends one request of the catalogue. See GuestBridge.rpc for errors and cancellation. */
  rpc<N extends RequestName>(
    name: N,
    request: RequestInput<N>,
    options: RpcOptions = {},
  ): Promise<Reply<N>> {
    return this.#context.bridge.rpc(name, request, options);
  }

  /** Creates a container; its init waits for start(). */
  async createContainer(create: CreateOptions, options: RpcOptions = {}): Promise<GuestContainer> {
    // Known before the request is sent: its exit may be told of before its reply.
    const exited = this.#context.containers.register(create.id);
    await this.rpc(
      'Create',
      {
        ContainerId: create.id,
        ContainerConfig: {
          SchemaVersion: { Major: 2, Minor: 1 },
          OciBundlePath: create.bundle,
          OciSpecification: create.spec,
          ScratchDirPath: create.scratchDir,
        },
      },
      options,
    );
    const terminal = create.spec.process?.terminal ?? false;
    return new GuestContainer(this.#context, { id: create.id, terminal, owned: true }, exited);
  }

  /** A container that exists already, made by an earlier host. Nothing is asked of the guest. */
  container(id: string, options: { terminal?: boolean } = {}): GuestContainer {
    const terminal = options.terminal ?? false;
    const exited = this.#context.containers.exitOf(id);
    return new GuestContainer(this.#context, { id, terminal, owned: false }, exited);
  }

  /** Runs a process in the VM itself, outside every container. */
  async execInGuest(process: VmProcessOptions, options: RpcOptions = {}): Promise<GuestProcess> {
    const { size } = process;
    const parameters = {
      CommandArgs: [...process.args],
      WorkingDirectory: process.cwd,
      Environment: process.env,
      EmulateConsole: process.terminal,
      ConsoleSize: size === undefined ? undefined : [size.height, size.width],
    };
    const names = streamNames(process, process.terminal ?? false);
    return execute(this.#context, null, parameters, names, options);
  }

  /** A process of the VM that is known by its pid, without its streams. */
  process(pid: number): GuestProcess {
    return new GuestProcess(this.#context.bridge, { pid, containerId: null });
  }

  /** The agent's state as text, for people. */
  async dumpStacks(options: RpcOptions = {}): Promise<string> {
    const reply = await this.rpc('DumpStacks', { ContainerId: NULL_CONTAINER_ID }, options);
    return reply.GuestStacks ?? '';
  }

  /**
   * Ends the VM; outside a VM, the agent. There is no reply: resolves when the guest has closed
   * the bridge.
   */
  async shutdown(how: 'graceful' | 'forced', options: RpcOptions = {}): Promise<void> {
    const name = how === 'graceful' ? 'ShutdownGraceful' : 'ShutdownForced';
    try {
      await this.rpc(name, { ContainerId: NULL_CONTAINER_ID }, options);
    } catch (error) {
      if (error instanceof BridgeError && error.code === 'lost') return;
      throw error;
    }
    throw this.#context.bridge.breach(`a reply to ${name} of the VM`);
  }

  /**
   * Exits of containers, from now on. The loop throws BridgeError when the bridge ends, and ends
   * when the signal aborts.
   */
  notifications(
    options: { signal?: AbortSignal } = {},
  ): AsyncIterableIterator<ContainerExit, undefined> {
    return this.#exits.subscribe(options.signal);
  }

  /** Ends the bridge. What runs in the guest goes on. */
  close(): void {
    this.#context.bridge.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #negotiate(signal: AbortSignal): Promise<void> {
    const { bridge } = this.#context;
    const reply = await bridge.rpc(
      'NegotiateProtocol',
      {
        ContainerId: '',
        MinimumVersion: PROTOCOL_VERSION,
        MaximumVersion: PROTOCOL_VERSION,
      },
      { signal },
    );
    if (reply.Version !== PROTOCOL_VERSION) {
      throw bridge.breach(`it chose version ${reply.Version}, not ${PROTOCOL_VERSION}`);
    }
    const { Capabilities } = reply;
    // Hosts take an empty one for Windows and then speak of hvsock GUIDs instead of ports.
    if (Capabilities?.RuntimeOsType.toLowerCase() !== 'linux') {
      const found = Capabilities?.RuntimeOsType ?? '';
      throw bridge.breach(`its RuntimeOsType is "${found}", not "Linux"`);
    }
    this.#capabilities = Capabilities;
  }

  #notified(message: Notification): string | undefined {
    const exit = toContainerExit(message);
    if (typeof exit === 'string') return exit;
    const known = this.#context.containers.ended(exit);
    this.#exits.publish(exit);
    if (known || this.#takesOver) return undefined;
    return `an exit notification for "${exit.containerId}", which is unknown or has ended before`;
  }
}
