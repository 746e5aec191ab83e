import { AgentError } from '../errors.ts';
import { runWithLogFields } from '../log/context.ts';
import type { LogFields, Logger } from '../log/logger.ts';
import { monotonicNow } from '../os/clock.ts';
import { decodeJson } from '../schema/json-text.ts';
import { type Schema, SchemaError } from '../schema/schema.ts';
import { UNANSWERED } from './handlers/handler.ts';
import {
  type Failure,
  failureOf,
  HresultError,
  inContext,
  UnintelligibleError,
} from './hresult.ts';
import { bridgeLimits } from './limits.ts';
import { describeType } from './message-types.ts';
import { plainRequest } from './messages/common.ts';
import { failureText, fitsReply, successText } from './reply.ts';
import type { AnyBody, Route, Routes } from './route.ts';
import { traceFields } from './trace-context.ts';

/** One request as it came off the wire. */
export interface IncomingRequest {
  readonly type: number;
  readonly id: bigint;
  readonly payload: Buffer;
  readonly signal: AbortSignal;
  /** Refuses it before its content is looked at: unknown type, wrong time, limits. */
  readonly refusal: HresultError | AgentError | undefined;
  /** Told as soon as it is known. */
  readonly onContainer: (containerId: string) => void;
}

export interface Outcome {
  readonly succeeded: boolean;
  /** JSON of the reply; undefined when the protocol has none. */
  readonly text: string | undefined;
}

/** Decodes a request, has it handled and words the reply. Never throws and never rejects. */
export class Dispatcher {
  readonly #routes: Routes;
  readonly #log: Logger;

  constructor(routes: Routes, log: Logger) {
    this.#routes = routes;
    this.#log = log;
  }

  /** Synchronous where the handler is, so that a reply can go out in the turn its request came in. */
  dispatch(request: IncomingRequest): Outcome | Promise<Outcome> {
    const route = this.#routes.get(request.type);
    const understood = understand(request, route);
    const { containerId, trace } = understood.base;
    request.onContainer(containerId);
    const fields = {
      request: route?.name ?? describeType(request.type),
      requestId: request.id,
      ...(containerId === '' ? {} : { containerId }),
      ...trace,
    };
    return runWithLogFields(fields, () => this.#handle(route, understood, request));
  }

  #handle(
    route: Route | undefined,
    { base, decoded, error }: Understood,
    request: IncomingRequest,
  ): Outcome | Promise<Outcome> {
    const { activityId } = base;
    if (route === undefined || error !== undefined) {
      return this.#failed(error, activityId, request.payload);
    }
    const started = monotonicNow();
    this.#log.debug('request');
    if (this.#log.enabled('trace')) this.#log.trace('request body', { body: decoded });
    try {
      const result = route.handle(decoded, { activityId, signal: request.signal });
      if (!(result instanceof Promise)) return this.#succeeded(route, activityId, result, started);
      // These hold nothing of the payload: a wait may be open as long as its process lives.
      return result
        .then((body) => this.#succeeded(route, activityId, body, started))
        .catch((reason: unknown) => this.#failed(reason, activityId));
    } catch (reason) {
      return this.#failed(reason, activityId, request.payload);
    }
  }

  #succeeded(route: Route, activityId: string, body: AnyBody, started: number): Outcome {
    if (this.#log.enabled('debug')) {
      this.#log.debug('request done', { ms: monotonicNow() - started });
    }
    if (body === UNANSWERED) return { succeeded: true, text: undefined };
    const text = successText(route.reply, activityId, body);
    if (fitsReply(text)) return { succeeded: true, text };
    const problem = `the reply would exceed ${bridgeLimits.replyBytes} bytes`;
    return this.#failed(new AgentError('limit', problem, { operation: route.name }), activityId);
  }

  #failed(error: unknown, activityId: string, payload?: Buffer): Outcome {
    const failure = failureOf(error);
    this.#log[levelOf(error)]('request failed', {
      error: failure.message,
      result: failure.result,
      stack: isExpected(error) ? undefined : (error as Error | undefined)?.stack,
    });
    const worded = payload === undefined ? failure : quoting(error, failure, payload);
    return { succeeded: false, text: failureText(activityId, worded) };
  }
}

/** What every reply and log entry needs. */
interface Base {
  readonly activityId: string;
  readonly containerId: string;
  readonly trace: LogFields;
}

interface Understood {
  readonly base: Base;
  readonly decoded: unknown;
  /** Why the request is not handled. */
  readonly error: unknown;
}

/** Decodes a request; of one that cannot be handled still the common fields, as far as it has them. */
function understand(request: IncomingRequest, route: Route | undefined): Understood {
  let parsed: unknown;
  try {
    parsed = decodeJson(request.payload.toString('utf8'));
    if (request.refusal === undefined && route !== undefined) {
      const decoded = decodeMessage(route.request, parsed);
      return { base: baseOf(decoded as PlainRequest), decoded, error: undefined };
    }
  } catch (cause) {
    const error = cause instanceof SyntaxError ? new SchemaError('', cause.message) : cause;
    return refused(parsed, request.refusal ?? (route === undefined ? unknownType(request) : error));
  }
  return refused(parsed, request.refusal ?? unknownType(request));
}

type PlainRequest = ReturnType<typeof plainRequest.zero>;

function decodeMessage(schema: Schema<unknown, never>, parsed: unknown): unknown {
  return parsed === null ? schema.zero() : schema.decode(parsed);
}

function baseOf(request: PlainRequest): Base {
  return {
    activityId: request.ActivityId,
    containerId: request.ContainerId,
    trace: traceFields(request),
  };
}

function refused(parsed: unknown, error: unknown): Understood {
  let base: Base = { activityId: '', containerId: '', trace: {} };
  try {
    base = baseOf(decodeMessage(plainRequest, parsed) as PlainRequest);
  } catch (cause) {
    // The common fields are wrong too; `error` says what is answered.
    if (!(cause instanceof SchemaError)) throw cause;
  }
  return { base, decoded: undefined, error };
}

function unknownType({ type }: IncomingRequest): AgentError {
  return new AgentError('not-supported', `message type ${describeType(type)} is not supported`);
}

/** The host is told which of its messages could not be understood; the log is not, it may hold secrets. */
function quoting(error: unknown, failure: Failure, payload: Buffer): Failure {
  if (!(error instanceof SchemaError || error instanceof UnintelligibleError)) return failure;
  const { quotedBytes } = bridgeLimits;
  const text = payload.toString('utf8', 0, quotedBytes).trimEnd();
  const quoted = payload.length <= quotedBytes ? text : `${text}…[${payload.length} bytes in all]`;
  return inContext(`failed to unmarshal JSON in message "${quoted}"`, failure);
}

/** False for what nobody threw on purpose: there the place matters. */
function isExpected(error: unknown): boolean {
  return [AgentError, SchemaError, HresultError].some((known) => error instanceof known);
}

/** Answers a host expects in the course of things are no warnings. */
function levelOf(error: unknown): 'info' | 'warning' {
  if (!(error instanceof AgentError)) return 'warning';
  switch (error.code) {
    case 'container-not-found':
    case 'process-not-found':
    case 'container-not-running':
    case 'wait-timeout':
    case 'cancelled':
      return 'info';
    default:
      return 'warning';
  }
}
