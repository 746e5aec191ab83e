import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../log/logger.ts';
import { MANAGEMENT_PORT, MANAGEMENT_STREAM_PORT } from '../vsock/ports.ts';
import type { Connection, Listener, Transport } from '../vsock/transport.ts';
import { TransportError } from '../vsock/transport.ts';

/** What serves the door, once there is somebody to serve. Both calls own the connection. */
export interface DoorServer extends AsyncDisposable {
  client(connection: Connection): void;
  stream(connection: Connection): void;
}

export interface DoorOptions {
  readonly transport: Transport;
  readonly log: Logger;
  /** Loads what serves the door: called once, when the first client comes. */
  readonly load: () => Promise<DoorServer>;
}

/** Milliseconds between attempts while accept(2) fails: it has no event for "there is a descriptor again". */
const RETRY_MS = 50;

/**
 * The two ports of the management door. All an agent pays that nobody manages: two listeners. That
 * they cannot be opened is logged and no more, for the bridge is what the agent is for.
 */
export class ManagementDoor implements AsyncDisposable {
  readonly #options: DoorOptions;
  readonly #listeners: readonly Listener[];
  readonly #closing = new AbortController();
  #server: Promise<DoorServer> | undefined;

  static async open(options: DoorOptions): Promise<ManagementDoor | undefined> {
    const { transport, log } = options;
    const listeners: Listener[] = [];
    try {
      for (const port of [MANAGEMENT_PORT, MANAGEMENT_STREAM_PORT]) {
        listeners.push(await transport.listen(port));
      }
      return new ManagementDoor(options, listeners);
    } catch (error) {
      for (const listener of listeners) listener.close();
      // A transport that cannot listen is a choice of whoever started the agent.
      const unable = error instanceof TransportError && error.code === 'unsupported';
      log[unable ? 'debug' : 'warning']('no management door', { error: String(error) });
      return undefined;
    }
  }

  private constructor(options: DoorOptions, listeners: readonly Listener[]) {
    this.#options = options;
    this.#listeners = listeners;
    const [clients, streams] = listeners;
    if (clients !== undefined) void this.#serve(clients, (s, c) => s.client(c));
    if (streams !== undefined) void this.#serve(streams, (s, c) => s.stream(c));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    for (const listener of this.#listeners) listener.close();
    const server = await this.#server?.catch(() => undefined);
    await server?.[Symbol.asyncDispose]();
  }

  async #serve(
    listener: Listener,
    give: (server: DoorServer, connection: Connection) => void,
  ): Promise<void> {
    const { signal } = this.#closing;
    for (;;) {
      try {
        const connection = await listener.accept({ signal });
        await this.#give(connection, give);
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.warning('management door', { error: String(error) });
        if (error instanceof TransportError && error.code === 'closed') return;
        await delay(RETRY_MS, undefined, { ref: false });
      }
    }
  }

  async #give(
    connection: Connection,
    give: (server: DoorServer, connection: Connection) => void,
  ): Promise<void> {
    try {
      this.#server ??= this.#options.load();
      const server = await this.#server;
      this.#closing.signal.throwIfAborted();
      give(server, connection);
    } catch (error) {
      this.#server = undefined;
      connection.close();
      throw error;
    }
  }
}
