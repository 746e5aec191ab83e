import type { Notification } from '../bridge/catalogue.ts';

/** A container has ended; the guest says so once per container. */
export interface ContainerExit {
  readonly containerId: string;
  /** Who ended it: SIGTERM through the guest, SIGKILL through the guest, or anything else (its own end too). */
  readonly type: 'GracefulExit' | 'ForcedExit' | 'UnexpectedExit';
  /** Of the request that created the container; "" when it had none. */
  readonly activityId: string;
}

const EXIT_TYPES: readonly string[] = ['GracefulExit', 'ForcedExit', 'UnexpectedExit'];

/** The exit in a notification, or what is wrong with it. */
export function toContainerExit(message: Notification): ContainerExit | string {
  const type = message.Type;
  if (!EXIT_TYPES.includes(type)) return `a notification of the unknown type "${type}"`;
  return {
    containerId: message.ContainerId,
    type: type as ContainerExit['type'],
    activityId: message.ActivityId,
  };
}

/** Hands every item to every subscriber that is iterating; a subscriber sees what comes after it subscribed. */
export class Broadcast<T> {
  readonly #subscribers = new Set<Subscriber<T>>();
  #end: { reason: unknown } | undefined;

  publish(item: T): void {
    for (const subscriber of this.#subscribers) subscriber.add(item);
  }

  /** Ends all iterations: those waiting and those to come reject with `reason` once they are drained. */
  fail(reason: unknown): void {
    this.#end ??= { reason };
    for (const subscriber of this.#subscribers) subscriber.wake();
  }

  /** Subscribes now; ends without an error when the signal aborts or the loop is left. */
  subscribe(signal?: AbortSignal): AsyncIterableIterator<T> {
    const subscriber = new Subscriber<T>();
    this.#subscribers.add(subscriber);
    return this.#iterate(subscriber, signal);
  }

  async *#iterate(subscriber: Subscriber<T>, signal?: AbortSignal): AsyncGenerator<T, void, void> {
    const wake = (): void => subscriber.wake();
    signal?.addEventListener('abort', wake, { once: true });
    try {
      for (;;) {
        if (signal?.aborted === true) return;
        const item = subscriber.take();
        if (item !== undefined) yield item.value;
        else if (this.#end !== undefined) throw this.#end.reason;
        else await subscriber.woken();
      }
    } finally {
      signal?.removeEventListener('abort', wake);
      this.#subscribers.delete(subscriber);
    }
  }
}

class Subscriber<T> {
  readonly #queue: T[] = [];
  #wake: (() => void) | undefined;

  add(item: T): void {
    this.#queue.push(item);
    this.wake();
  }

  take(): { value: T } | undefined {
    return this.#queue.length === 0 ? undefined : { value: this.#queue.shift() as T };
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
