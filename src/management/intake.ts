import { monotonicNow } from '../os/clock.ts';
import type { ManagementErrorCode } from './errors.ts';
import { managementLimits } from './limits.ts';

export type RequestId = string | number;

/** A request from its admission to its answer. */
export interface PendingRequest {
  readonly id: RequestId;
  readonly method: string;
  readonly started: number;
  readonly abort: AbortController;
}

/** A message that never becomes a request: what its sender is told. */
export interface Refusal {
  readonly id: RequestId | null;
  readonly code: ManagementErrorCode;
  readonly message: string;
}

export type Verdict =
  /** For the connection to handle. */
  | 'admitted'
  /** Neither an answer nor an action. */
  | 'ignored'
  | Refusal;

const CANCEL = '$/cancelRequest';

/**
 * Decides which messages of a client reach the connection, so that it only ever sees what it can
 * handle: bounded in number, ids once at a time, cancellations of requests that are there.
 */
export class Intake {
  readonly #pending = new Map<string, PendingRequest>();

  get pending(): Iterable<PendingRequest> {
    return this.#pending.values();
  }

  judge(message: unknown): Verdict {
    if (typeof message !== 'object' || message === null || Array.isArray(message)) {
      return invalid(null, 'a message is one JSON object');
    }
    const { jsonrpc, id, method, params } = message as Record<string, unknown>;
    // Answers: the agent asks nothing.
    if (method === undefined && ('result' in message || 'error' in message)) return 'ignored';
    const known = isRequestId(id) ? id : null;
    if (jsonrpc !== '2.0') return invalid(known, 'jsonrpc is not "2.0"');
    if (typeof method !== 'string') return invalid(known, 'method is no text');
    if (params !== undefined && (typeof params !== 'object' || Array.isArray(params))) {
      return { id: known, code: 'invalid-argument', message: 'params is no object' };
    }
    if (id === undefined) return this.#judgeNotification(method, params);
    if (known === null) return invalid(null, 'id is neither a text nor a whole number');
    return this.#judgeRequest(known, method);
  }

  /** The answer of a request has been written. */
  done(id: unknown): void {
    if (isRequestId(id)) this.#pending.delete(String(id));
  }

  find(id: unknown): PendingRequest | undefined {
    return isRequestId(id) ? this.#pending.get(String(id)) : undefined;
  }

  #judgeNotification(method: string, params: unknown): Verdict {
    if (method !== CANCEL) return 'ignored';
    const { id } = (params ?? {}) as { id?: unknown };
    // The answer may have crossed the cancellation.
    return this.find(id) === undefined ? 'ignored' : 'admitted';
  }

  #judgeRequest(id: RequestId, method: string): Verdict {
    // The library files them by this text, so 1 and "1" are one.
    const key = String(id);
    if (this.#pending.has(key)) return invalid(id, `id ${key} is not answered yet`);
    const { pendingRequests } = managementLimits;
    if (this.#pending.size >= pendingRequests) {
      return { id, code: 'limit', message: `more than ${pendingRequests} unanswered requests` };
    }
    const started = monotonicNow();
    this.#pending.set(key, { id, method, started, abort: new AbortController() });
    return 'admitted';
  }
}

function invalid(id: RequestId | null, message: string): Refusal {
  return { id, code: 'invalid-request', message };
}

function isRequestId(id: unknown): id is RequestId {
  return typeof id === 'number'
    ? Number.isSafeInteger(id)
    : typeof id === 'string' && id.length <= 128;
}
