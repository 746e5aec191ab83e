import type { Notification } from '../bridge/catalogue.ts';

/** A container has ended; the guest says so once per container. */
export interface ContainerExit {
  readonly containerId: string;
  /** Who ended it: SIGTERM through the guest, SIGKILL through the guest, or anything else (its own end too). */
  readonly type: 'GracefulExit' | 'ForcedExit' | 'UnexpectedExit';
  /** Of the request that created the container; "" when it had none. */
  readonly activityId: string;
  /** Its processes that the guest's kernel killed for memory, when it was that which ended it. */
  readonly memoryKills?: number;
}

const EXIT_TYPES: readonly string[] = ['GracefulExit', 'ForcedExit', 'UnexpectedExit'];

/** The exit in a notification, or what is wrong with it. */
export function toContainerExit(message: Notification): ContainerExit | string {
  const type = message.Type;
  const memoryKills = message.ResultInfo?.MemoryKills;
  if (!EXIT_TYPES.includes(type)) return `a notification of the unknown type "${type}"`;
  return {
    containerId: message.ContainerId,
    type: type as ContainerExit['type'],
    activityId: message.ActivityId,
    ...(memoryKills === undefined ? {} : { memoryKills }),
  };
}

/** Hands every item to every subscription; one gets what comes after it was made. */
export class Broadcast<T> {
  readonly #subscriptions = new Set<Subscription<T>>();
  #end: { reason: unknown } | undefined;

  publish(item: T): void {
    for (const subscription of this.#subscriptions) subscription.publish(item);
  }

  /** Ends all subscriptions: each rejects with `reason` once it is drained, also those to come. */
  fail(reason: unknown): void {
    this.#end ??= { reason };
    for (const subscription of this.#subscriptions) subscription.fail(reason);
  }

  /** Subscribes now, until the loop is left, return() is called or the signal aborts. */
  subscribe(signal?: AbortSignal): AsyncIterableIterator<T, undefined> {
    const subscription = new Subscription<T>((ended) => this.#subscriptions.delete(ended), signal);
    this.#subscriptions.add(subscription);
    if (this.#end !== undefined) subscription.fail(this.#end.reason);
    return subscription;
  }
}

class Subscription<T> implements AsyncIterableIterator<T, undefined> {
  readonly #queue: T[] = [];
  readonly #waiting: PromiseWithResolvers<IteratorResult<T, undefined>>[] = [];
  readonly #onEnd: (subscription: Subscription<T>) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => void this.return();
  #failure: { reason: unknown } | undefined;
  #done = false;

  constructor(onEnd: (subscription: Subscription<T>) => void, signal: AbortSignal | undefined) {
    this.#onEnd = onEnd;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#abort, { once: true });
    this.#done = signal?.aborted ?? false;
  }

  publish(value: T): void {
    if (this.#done) return;
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#queue.push(value);
    else waiting.resolve({ done: false, value });
  }

  fail(reason: unknown): void {
    this.#failure = { reason };
    for (const waiting of this.#waiting.splice(0)) waiting.reject(reason);
    this.#release();
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    if (this.#done) return { done: true, value: undefined };
    if (this.#queue.length > 0) return { done: false, value: this.#queue.shift() as T };
    if (this.#failure !== undefined) throw this.#failure.reason;
    const waiting = Promise.withResolvers<IteratorResult<T, undefined>>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#done = true;
    this.#queue.length = 0;
    for (const waiting of this.#waiting.splice(0))
      waiting.resolve({ done: true, value: undefined });
    this.#release();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #release(): void {
    this.#signal?.removeEventListener('abort', this.#abort);
    this.#onEnd(this);
  }
}
