import { AgentError } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { Target, UvmOperations } from '../../uvm/operations.ts';
import type { ActivityIds } from '../activity-ids.ts';
import type { ReplyBody, Request } from '../catalogue.ts';
import { NULL_CONTAINER_ID, type RequestName } from '../message-types.ts';

/** What a handler returns for a request the protocol has no reply to. */
export const UNANSWERED: unique symbol = Symbol('unanswered');

/** What belongs to one request while it is handled. */
export interface RequestContext {
  readonly activityId: string;
  /** Aborted when the connection the request came over is lost: nobody can be answered any more. */
  readonly signal: AbortSignal;
}

type Result<N extends RequestName> = ReplyBody<N> | typeof UNANSWERED;

export type Handler<N extends RequestName> = (
  request: Request<N>,
  context: RequestContext,
) => Result<N> | Promise<Result<N>>;

/** One handler for every message of the catalogue: one that is missing does not compile. */
export type Handlers = { readonly [N in RequestName]: Handler<N> };

export interface HandlerDependencies {
  readonly uvm: UvmOperations;
  readonly log: Logger;
  readonly activityIds: ActivityIds;
  /** The bridge's own sections of DumpStacks. */
  readonly describeBridge: () => string[];
}

export function targetOf(containerId: string): Target {
  return containerId === NULL_CONTAINER_ID ? null : containerId;
}

/** The id for an operation that the VM itself has no such thing as. */
export function containerOf(containerId: string, operation: string): string {
  if (containerId !== NULL_CONTAINER_ID) return containerId;
  throw new AgentError('container-not-found', `${operation} is for containers, not for the VM`, {
    operation,
  });
}
