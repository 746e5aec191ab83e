import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { Dispatcher, type IncomingRequest, type Outcome } from './dispatch.ts';
import { MessageType } from './message-types.ts';
import { negotiation } from './negotiation.ts';
import type { Routes } from './route.ts';

/**
 * Answers a negotiation at once, and loads what the other requests need when the first of them
 * comes or when it is told to. Requests that come before that is loaded wait for it, in their order.
 */
export class LazyDispatcher {
  readonly #log: Logger;
  readonly #negotiation: Dispatcher;
  readonly #routes: () => Promise<Routes>;
  #all: Dispatcher | undefined;
  #loading: Promise<Dispatcher> | undefined;

  /** @param routes is asked again after it failed */
  constructor(log: Logger, routes: () => Promise<Routes>) {
    this.#log = log;
    this.#negotiation = new Dispatcher(negotiation, log);
    this.#routes = routes;
  }

  /** Like that of {@link Dispatcher}. */
  dispatch(request: IncomingRequest): Outcome | Promise<Outcome> {
    if (this.#all !== undefined) return this.#all.dispatch(request);
    if (request.type === MessageType.NegotiateProtocol) return this.#negotiation.dispatch(request);
    return this.load().then(
      (all) => all.dispatch(request),
      (error: unknown) => {
        const refusal = AgentError.from(error);
        return this.#negotiation.dispatch({ ...request, refusal });
      },
    );
  }

  /** Rejects with what `routes` threw, which is in the log by then. */
  load(): Promise<Dispatcher> {
    this.#loading ??= this.#load();
    return this.#loading;
  }

  async #load(): Promise<Dispatcher> {
    try {
      this.#all = new Dispatcher(await this.#routes(), this.#log);
      return this.#all;
    } catch (error) {
      this.#loading = undefined;
      this.#log.error('requests cannot be handled', { error: String(error) });
      throw error;
    }
  }
}
