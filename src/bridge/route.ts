import type { Schema } from '../schema/schema.ts';
import type { Handler, RequestContext, UNANSWERED } from './handlers/handler.ts';
import type { RequestName } from './message-types.ts';

/** What a handler answers, of whatever message. */
export type AnyBody = object | typeof UNANSWERED;

/** How one message is read, handled and answered. */
export interface Route {
  readonly name: RequestName;
  readonly request: Schema<unknown, never>;
  readonly reply: Schema<unknown, never>;
  readonly handle: (request: unknown, context: RequestContext) => AnyBody | Promise<AnyBody>;
}

/** By message type. */
export type Routes = ReadonlyMap<number, Route>;

/** `schemas` are those of the catalogue's entry with that name. */
export function routeOf<N extends RequestName>(
  name: N,
  schemas: Pick<Route, 'request' | 'reply'>,
  handler: Handler<N>,
): Route {
  // What the entry's schema decodes is what the entry's handler takes.
  const handle = handler as unknown as Route['handle'];
  return { name, request: schemas.request, reply: schemas.reply, handle };
}
