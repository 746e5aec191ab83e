import { AgentError } from '../errors.ts';
import { runWithLogFields } from '../log/context.ts';
import type { Logger } from '../log/logger.ts';
import { monotonicNow } from '../os/clock.ts';
import type { Schema } from '../schema/schema.ts';
import { isMethod, type MethodName, methods } from './contract.ts';
import { ManagementError } from './errors.ts';
import { failureOf } from './failure.ts';
import type { Handlers, RequestContext } from './handlers/handler.ts';
import type { OwnMetrics } from './own-metrics.ts';

type AnyHandler = (params: unknown, context: RequestContext) => unknown;

export interface DispatchedRequest {
  readonly id: string | number;
  readonly method: string;
  readonly params: unknown;
  /** `initialize` was answered on this connection. */
  readonly initialized: boolean;
}

/** Decodes a request, has it handled, encodes the result. Rejects with a Failure. */
export class Dispatcher {
  readonly #handlers: Handlers;
  readonly #metrics: OwnMetrics;
  readonly #log: Logger;

  constructor(handlers: Handlers, metrics: OwnMetrics, log: Logger) {
    this.#handlers = handlers;
    this.#metrics = metrics;
    this.#log = log;
  }

  async dispatch(request: DispatchedRequest, context: RequestContext): Promise<unknown> {
    const { method, id } = request;
    const known = isMethod(method) ? method : undefined;
    return await runWithLogFields({ request: known ?? '?', requestId: id }, async () => {
      const started = monotonicNow();
      try {
        const result = await this.#handle(request, known, context);
        this.#metrics.count(known ?? '?', 'ok');
        this.#log.debug('request done', { ms: monotonicNow() - started });
        return result;
      } catch (error) {
        throw this.#failed(error, known, context);
      }
    });
  }

  async #handle(
    { method, params, initialized }: DispatchedRequest,
    known: MethodName | undefined,
    context: RequestContext,
  ): Promise<unknown> {
    if (known === undefined)
      throw new ManagementError('method-not-found', `no method ${short(method)}`);
    if (!initialized && known !== 'initialize') {
      throw new ManagementError('not-initialized', '`initialize` comes first');
    }
    if (initialized && known === 'initialize') {
      throw new ManagementError('invalid-request', 'the connection is initialized');
    }
    const { params: schema, result } = methods[known];
    const decoded = schema.decode(params ?? {});
    context.signal.throwIfAborted();
    const handler = this.#handlers[known] as AnyHandler;
    const answer = await handler(decoded, context);
    return (result as Schema<unknown>).encode(answer);
  }

  #failed(error: unknown, known: MethodName | undefined, { signal }: RequestContext) {
    // Whatever an operation makes of being given up: the client gave the reason itself.
    const failure = failureOf(signal.aborted ? signal.reason : error);
    const { code } = failure.data;
    this.#metrics.count(known ?? '?', code);
    const stack = failure.fault ? (error as Error | undefined)?.stack : undefined;
    this.#log[failure.fault ? 'error' : 'info']('request failed', {
      error: failure.message,
      code,
      stack,
    });
    return failure;
  }
}

/** Why a request was given up. */
export function cancelled(reason: string): AgentError {
  return new AgentError('cancelled', reason);
}

function short(text: string): string {
  return JSON.stringify(text.length <= 64 ? text : `${text.slice(0, 64)}…`);
}
