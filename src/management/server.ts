import type { Logger } from '../log/logger.ts';
import type { Connection } from '../vsock/transport.ts';
import { Dispatcher } from './dispatch.ts';
import type { DoorServer } from './door.ts';
import { makeHandlers } from './handlers/index.ts';
import type { DoorState } from './handlers/system.ts';
import { managementLimits } from './limits.ts';
import { OwnMetrics } from './own-metrics.ts';
import type { DoorServices } from './services.ts';
import { ClientSession } from './session.ts';
import { StreamDesk } from './streams.ts';

/** Serves any number of clients at once; loaded when the first of them comes. */
export class ManagementServer implements DoorServer, DoorState {
  readonly metrics = new OwnMetrics();
  readonly #services: DoorServices;
  readonly #log: Logger;
  readonly #streams: StreamDesk;
  readonly #dispatcher: Dispatcher;
  readonly #sessions = new Set<ClientSession>();

  constructor(services: DoorServices) {
    this.#services = services;
    this.#log = services.log;
    this.#streams = new StreamDesk(this.#log);
    this.#dispatcher = new Dispatcher(makeHandlers(services, this), this.metrics, this.#log);
  }

  get clients(): number {
    return this.#sessions.size;
  }

  requestsUnderWay(): string[] {
    return [...this.#sessions].flatMap((session) => session.requestsUnderWay());
  }

  client(connection: Connection): void {
    if (!this.#hasRoom()) {
      this.#log.warning('client refused', { clients: this.clients });
      connection.close();
      return;
    }
    const session = new ClientSession(connection.stream(), {
      dispatcher: this.#dispatcher,
      operations: this.#services.operations,
      streams: this.#streams,
      log: this.#log,
      onEnd: (ended) => this.#sessions.delete(ended),
    });
    this.#sessions.add(session);
  }

  stream(connection: Connection): void {
    void this.#streams.welcome(connection);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of [...this.#sessions]) session.end();
    this.#streams[Symbol.dispose]();
  }

  /** Those that never said a word make room for those that might. */
  #hasRoom(): boolean {
    if (this.#sessions.size < managementLimits.clients) return true;
    const silent = [...this.#sessions].find((session) => !session.initialized);
    silent?.end();
    return silent !== undefined;
  }
}
