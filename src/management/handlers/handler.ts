import type { Connection } from '../../vsock/transport.ts';
import type { MethodName, Params, Progress, ResultInput } from '../contract.ts';

/** The client a request came from, as handlers see it. */
export interface Client {
  /** Gives out tokens for streams of this client. */
  openStreams(count: number): string[];
  /** The connection of a token; see StreamDesk.claim. */
  claimStream(token: string, field: string, signal: AbortSignal): Promise<Connection>;
  /** See contract.ts, events.subscribe. */
  subscribe(from: number | undefined, epoch: string | undefined): SubscriptionStart;
  unsubscribe(): void;
}

export interface SubscriptionStart {
  epoch: string;
  next: number;
  gap?: { from: number; to: number; reason: 'dropped' | 'other-epoch' };
}

export interface RequestContext {
  readonly client: Client;
  /** Aborted when the request is cancelled and when its client has gone. */
  readonly signal: AbortSignal;
  /** Tells how far the request is, where it asked for that. */
  progress(token: string | number | undefined, value: Progress): void;
}

export type Handler<M extends MethodName> = (
  params: Params<M>,
  context: RequestContext,
) => ResultInput<M> | Promise<ResultInput<M>>;

export type Handlers = { readonly [M in MethodName]: Handler<M> };
