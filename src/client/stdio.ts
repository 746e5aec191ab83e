import { PortAllocator } from '../vsock/emulator/port-allocator.ts';
import type { Port, Transport } from '../vsock/transport.ts';
import { type Connection, type Listener, TransportError } from '../vsock/transport.ts';
import { BridgeError } from './errors.ts';
import { InputStream } from './input-stream.ts';
import { OutputStream } from './output-stream.ts';

/** Which streams a process gets. A terminal has no stderr of its own. */
export interface StreamOptions {
  /** Default false: the process reads end of file. */
  readonly stdin?: boolean;
  /** Default true. */
  readonly stdout?: boolean;
  /** Default true, false for a terminal. */
  readonly stderr?: boolean;
}

/** The host's ends of a process's streams. */
export interface ProcessStreams {
  readonly stdin?: InputStream;
  readonly stdout?: OutputStream;
  readonly stderr?: OutputStream;
}

export type StreamName = keyof ProcessStreams;
const STREAMS = ['stdin', 'stdout', 'stderr'] as const satisfies StreamName[];

/** Makes the listeners of stdio ports; one per guest, for the ports of a host never repeat. */
export class StdioEndpoint {
  readonly #transport: Transport;
  readonly #ports = new PortAllocator();

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Listens on a fresh port for every stream in `names`. */
  async listen(names: readonly StreamName[]): Promise<StdioListeners> {
    const listeners = new Map<StreamName, Listener>();
    try {
      for (const name of names) listeners.set(name, await this.#listenOnFreePort());
    } catch (error) {
      for (const listener of listeners.values()) listener.close();
      throw error;
    }
    return new StdioListeners(listeners);
  }

  // Another host on the same transport may hold a port: hosts count from the same first one.
  async #listenOnFreePort(): Promise<Listener> {
    for (;;) {
      try {
        return await this.#transport.listen(this.#ports.next());
      } catch (error) {
        if (!(error instanceof TransportError && error.code === 'port-in-use')) throw error;
      }
    }
  }
}

/** One listener per stream, each for one connection. Disposing closes what was not handed on. */
export class StdioListeners implements Disposable {
  readonly #listeners: ReadonlyMap<StreamName, Listener>;
  readonly #connections = new Map<StreamName, Connection>();
  readonly #abort = new AbortController();
  readonly #accepted: Promise<unknown>;

  constructor(listeners: ReadonlyMap<StreamName, Listener>) {
    this.#listeners = listeners;
    this.#accepted = Promise.all([...listeners].map((entry) => this.#accept(...entry)));
    // Looked at by connected(); when the request fails first, nobody asks.
    this.#accepted.catch(() => {});
  }

  port(name: StreamName): Port | undefined {
    return this.#listeners.get(name)?.port;
  }

  /** The streams, once the guest has dialed all of them. Rejects after `timeoutMs`: a guest dials before it replies. */
  async connected(timeoutMs: number): Promise<ProcessStreams> {
    const timer = setTimeout(() => this.#abort.abort(this.#notDialed()), timeoutMs);
    try {
      await this.#accepted;
    } finally {
      clearTimeout(timer);
    }
    const take = (name: StreamName) => {
      const stream = this.#connections.get(name)?.stream();
      this.#connections.delete(name);
      return stream;
    };
    const [stdin, stdout, stderr] = STREAMS.map(take);
    return {
      ...(stdin === undefined ? {} : { stdin: new InputStream(stdin) }),
      ...(stdout === undefined ? {} : { stdout: new OutputStream(stdout) }),
      ...(stderr === undefined ? {} : { stderr: new OutputStream(stderr) }),
    };
  }

  [Symbol.dispose](): void {
    this.#abort.abort(new BridgeError('closed', 'the streams are not wanted any more'));
    for (const listener of this.#listeners.values()) listener.close();
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }

  async #accept(name: StreamName, listener: Listener): Promise<void> {
    try {
      const connection = await listener.accept({ signal: this.#abort.signal });
      if (this.#abort.signal.aborted) connection.close();
      else this.#connections.set(name, connection);
    } finally {
      listener.close();
    }
  }

  #notDialed(): BridgeError {
    const missing = [...this.#listeners.keys()].filter((name) => !this.#connections.has(name));
    return new BridgeError(
      'protocol',
      `it reported a process as started without dialing its ${missing.join(' and ')}`,
    );
  }
}
