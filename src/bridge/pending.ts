import { AgentError } from '../errors.ts';
import { monotonicNow } from '../os/clock.ts';
import type { BridgeLimits } from './limits.ts';
import { describeType } from './message-types.ts';

/** A request that has not been answered. */
export interface PendingRequest {
  readonly type: number;
  readonly id: bigint;
  readonly payloadBytes: number;
  /** On the clock of {@link monotonicNow}, at its arrival. */
  readonly since: number;
  containerId: string;
}

/** Listed in full by DumpStacks; the rest is counted. */
const LISTED = 100;

/** The requests of one connection that have not been answered, within their bounds. */
export class PendingRequests {
  readonly #requests = new Map<bigint, PendingRequest>();
  readonly #limits: BridgeLimits;
  #bytes = 0;

  constructor(limits: BridgeLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#requests.size;
  }

  /**
   * Takes a request in. Throws AgentError for an id that is in use (the host matches replies by
   * id only, so this one is answered with the error and the earlier one goes on) and beyond the
   * limits.
   */
  add(type: number, id: bigint, payloadBytes: number): PendingRequest {
    const earlier = this.#requests.get(id);
    if (earlier !== undefined) {
      const text = `message id ${id} is in use by an unanswered ${describeType(earlier.type)}`;
      throw new AgentError('invalid-argument', text);
    }
    const { pendingRequests, pendingBytes } = this.#limits;
    if (this.#requests.size >= pendingRequests) {
      throw new AgentError('limit', `more than ${pendingRequests} unanswered requests`);
    }
    if (this.#bytes + payloadBytes > pendingBytes) {
      throw new AgentError('limit', `more than ${pendingBytes} bytes of unanswered requests`);
    }
    const request = { type, id, payloadBytes, since: monotonicNow(), containerId: '' };
    this.#requests.set(id, request);
    this.#bytes += payloadBytes;
    return request;
  }

  /** It was answered, or will never be. */
  remove(request: PendingRequest): void {
    if (this.#requests.get(request.id) !== request) return;
    this.#requests.delete(request.id);
    this.#bytes -= request.payloadBytes;
  }

  /** For DumpStacks: oldest first. */
  describe(): string {
    const now = monotonicNow();
    const lines = [...this.#requests.values()]
      .slice(0, LISTED)
      .map(({ type, id, since, containerId }) => {
        const age = ((now - since) / 1000).toFixed(3);
        return `  #${id} ${describeType(type)} ${containerId} for ${age} s`;
      });
    const rest = this.#requests.size - lines.length;
    if (rest > 0) lines.push(`  and ${rest} more`);
    return [`pending requests: ${this.#requests.size}, ${this.#bytes} bytes`, ...lines].join('\n');
  }
}
