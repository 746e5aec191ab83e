import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../log/logger.ts';
import type { UvmOperations } from '../uvm/operations.ts';
import { BRIDGE_PORT } from '../vsock/ports.ts';
import {
  type Connection,
  type Listener,
  type Transport,
  TransportError,
} from '../vsock/transport.ts';
import { ActivityIds } from './activity-ids.ts';
import { BridgeConnection } from './connection.ts';
import { LazyDispatcher } from './lazy-dispatcher.ts';
import { type BridgeLimits, bridgeLimits } from './limits.ts';
import { NotificationQueue } from './notifications.ts';
import type { Routes } from './route.ts';

export interface BridgeServerOptions {
  readonly transport: Transport;
  /** Opened when a host has negotiated, and asked for again after it failed. */
  readonly uvm: () => Promise<UvmOperations>;
  readonly log: Logger;
  /** Accept the bridge on the guest's port instead of dialing the host's. */
  readonly listen?: boolean;
  /** Stop with the first connection: for a transport that has only one. Default: dial again for ever. */
  readonly once?: boolean;
  /** Called when a host has negotiated: the agent is of use. */
  readonly onNegotiated?: () => void;
  /** For tests. */
  readonly limits?: Partial<BridgeLimits>;
}

/** The agent's end of the bridge: keeps one connection to the host and serves it. */
export class BridgeServer {
  readonly #options: BridgeServerOptions;
  readonly #limits: BridgeLimits;
  readonly #log: Logger;
  readonly #activityIds = new ActivityIds();
  readonly #notifications: NotificationQueue;
  readonly #dispatcher: LazyDispatcher;
  #connection: BridgeConnection | undefined;

  constructor(options: BridgeServerOptions) {
    this.#options = options;
    this.#limits = { ...bridgeLimits, ...options.limits };
    this.#log = options.log;
    this.#notifications = new NotificationQueue(this.#limits.waitingNotifications, options.log);
    this.#dispatcher = new LazyDispatcher(options.log, () => this.#openRoutes());
  }

  async #openRoutes(): Promise<Routes> {
    const { log } = this.#options;
    const [uvm, { openRoutes }] = await Promise.all([this.#options.uvm(), import('./routes.ts')]);
    return openRoutes({
      uvm,
      log,
      activityIds: this.#activityIds,
      notifications: this.#notifications,
      describeBridge: () => this.#describe(),
    });
  }

  /**
   * Serves one connection after the other until `signal` is aborted (resolves) or the transport
   * says that there will never be another one (rejects with its TransportError).
   */
  async run(signal: AbortSignal): Promise<void> {
    const listener = this.#options.listen
      ? await this.#options.transport.listen(BRIDGE_PORT)
      : undefined;
    try {
      while (!signal.aborted) {
        const connection = await this.#next(listener, signal);
        await this.#serve(connection, signal);
        if (this.#options.once) return;
        await delay(this.#limits.redialMs, undefined, { signal });
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      await listener?.[Symbol.asyncDispose]();
    }
  }

  async #next(listener: Listener | undefined, signal: AbortSignal): Promise<Connection> {
    return listener === undefined ? await this.#dial(signal) : await listener.accept({ signal });
  }

  /** Tries until it succeeds. Each new reason of failure is logged once, not ten times a second. */
  async #dial(signal: AbortSignal): Promise<Connection> {
    let reported = '';
    for (;;) {
      try {
        return await this.#options.transport.dial(BRIDGE_PORT, { signal });
      } catch (error) {
        if (signal.aborted || !mayRecover(error)) throw error;
        const text = error instanceof Error ? error.message : String(error);
        if (text !== reported)
          this.#log.warning('cannot reach the host, trying on', { error: text });
        reported = text;
        await delay(this.#limits.redialMs, undefined, { signal });
      }
    }
  }

  async #serve(raw: Connection, signal: AbortSignal): Promise<void> {
    const connection = new BridgeConnection({
      channel: raw.channel(),
      dispatcher: this.#dispatcher,
      limits: this.#limits,
      log: this.#log,
      onNegotiated: () => {
        this.#log.info('bridge negotiated');
        this.#options.onNegotiated?.();
        this.#notifications.attach((frame, done) => connection.send(frame, done));
        // Once the reply is out: the host takes longer to ask for something than this takes.
        setImmediate(() => this.#prepare());
      },
    });
    this.#connection = connection;
    this.#log.info('bridge connected', { transport: this.#options.transport.name });
    const stop = (): void => connection.close('the agent is stopping');
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const reason = await connection.ended;
    signal.removeEventListener('abort', stop);
    this.#connection = undefined;
    this.#log.warning('bridge lost', { reason });
  }

  #prepare(): void {
    // A failure is in the log, and the next request tries again.
    this.#dispatcher.load().catch(() => {});
  }

  #describe(): string[] {
    const connection = this.#connection?.describe() ?? 'bridge: no connection';
    return [connection, `exit notifications on their way: ${this.#notifications.size}`];
  }
}

/** A host that is not there may come; a transport that is closed or cannot dial at all stays so. */
function mayRecover(error: unknown): boolean {
  return !(error instanceof TransportError && ['closed', 'unsupported'].includes(error.code));
}
