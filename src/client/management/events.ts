import { setTimeout as delay } from 'node:timers/promises';
import type { NotificationParams } from '../../management/contract.ts';
import type { ManagementClient } from './client.ts';
import { ManagementConnectionError } from './errors.ts';

export type ManagementEvent = NotificationParams<'event'>;

export type EventItem =
  | ({ readonly type: 'event' } & ManagementEvent)
  /** Events that are lost to this client; `other-epoch`: those of an agent that is no more. */
  | {
      readonly type: 'gap';
      readonly from: number | bigint;
      readonly to: number | bigint;
      readonly reason: 'dropped' | 'other-epoch';
    };

export interface FollowOptions {
  /** One more than the last that was seen; default: from now on. */
  readonly from?: number | undefined;
  /** What `from` belongs to. */
  readonly epoch?: string | undefined;
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal | undefined;
  /** False: an end of the connection ends the iteration with its error. Default true. */
  readonly reconnect?: boolean | undefined;
  /** Told of each subscription: from here on nothing is missed. */
  readonly onSubscribed?:
    | ((position: { epoch: string; next: number | bigint }) => void)
    | undefined;
}

/** Milliseconds between attempts to reach the agent; it has no way to say that it is back. */
const REDIAL_MS = 100;

/**
 * Events, each once and in order. When the connection is lost it is made anew and goes on at the
 * number it had; what is lost for good is said by a gap.
 */
export async function* followEvents(
  connect: (signal: AbortSignal | undefined) => Promise<ManagementClient>,
  options: FollowOptions,
): AsyncGenerator<EventItem, void> {
  const { signal, reconnect = true } = options;
  let position = { epoch: options.epoch, next: options.from as number | bigint | undefined };
  while (signal?.aborted !== true) {
    try {
      await using client = await connect(signal);
      for await (const item of subscription(client, position, options)) {
        if (item.type === 'event') position = { epoch: item.epoch, next: after(item.sequence) };
        else if (item.type === 'start') position = { epoch: item.epoch, next: item.next };
        if (item.type !== 'start') yield item;
      }
    } catch (error) {
      if (isAborted(signal)) return;
      if (!reconnect || !isLoss(error)) throw error;
    }
    await delay(REDIAL_MS, undefined, signal === undefined ? {} : { signal }).catch(() => {});
  }
}

type Item = EventItem | { type: 'start'; epoch: string; next: number | bigint };

async function* subscription(
  client: ManagementClient,
  position: { epoch: string | undefined; next: number | bigint | undefined },
  { signal, onSubscribed }: FollowOptions,
): AsyncGenerator<Item, void> {
  const queue: Item[] = [];
  let wake = Promise.withResolvers<void>();
  const put = (item: Item): void => {
    queue.push(item);
    wake.resolve();
  };
  using _events = client.connection.on('event', (event) => put({ type: 'event', ...event }));
  using _gaps = client.connection.on('events.gap', ({ from, to }) =>
    put({ type: 'gap', from, to, reason: 'dropped' }),
  );
  const { next: from, epoch } = position;
  const start = await client.call('events.subscribe', { from, epoch }, { signal });
  yield { type: 'start', epoch: start.epoch, next: start.next };
  if (start.gap !== undefined) yield { type: 'gap', ...start.gap };
  onSubscribed?.({ epoch: start.epoch, next: start.next });
  const onAbort = (): void => wake.resolve();
  signal?.addEventListener('abort', onAbort, { once: true });
  void client.ended.then(() => wake.resolve());
  try {
    while (signal?.aborted !== true) {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) yield item;
      if (client.connection.failure !== undefined) throw client.connection.failure;
      await wake.promise;
      wake = Promise.withResolvers<void>();
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

function after(sequence: number | bigint): number | bigint {
  return typeof sequence === 'bigint' ? sequence + 1n : sequence + 1;
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function isLoss(error: unknown): boolean {
  return error instanceof ManagementConnectionError && error.code !== 'protocol';
}
