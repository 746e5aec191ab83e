import type { EventSubscription, LifecycleEvent, ManagementOperations } from '../uvm/management.ts';
import type { SubscriptionStart } from './handlers/handler.ts';

/** Where events go. */
export interface EventSink {
  /** False while the peer has too much unread: nothing is sent then. */
  readonly ready: boolean;
  event(epoch: string, event: LifecycleEvent): void;
  gap(epoch: string, from: number, to: number): void;
}

/**
 * A client's place in the log of events. It takes no more than its client reads: while that is
 * behind, the log alone keeps the events, and what falls out of it is said to be lost.
 */
export class Subscription implements Disposable {
  readonly #operations: ManagementOperations;
  readonly #sink: EventSink;
  readonly #epoch: string;
  #next: number;
  #live: EventSubscription | undefined;
  #ended = false;

  /** `start` is what the request is answered with. Nothing is sent before resume() is called. */
  static from(
    operations: ManagementOperations,
    sink: EventSink,
    position: { epoch: string; sequence: number } | undefined,
  ): { subscription: Subscription; start: SubscriptionStart } {
    using probe = operations.subscribe(position, () => {});
    const { epoch, next, gap } = probe;
    return {
      subscription: new Subscription(operations, sink, epoch, next),
      start: { epoch, next, ...gapOf(gap, next) },
    };
  }

  private constructor(
    operations: ManagementOperations,
    sink: EventSink,
    epoch: string,
    next: number,
  ) {
    this.#operations = operations;
    this.#sink = sink;
    this.#epoch = epoch;
    this.#next = next;
  }

  /** Goes on from where it is, if it does not already. */
  resume(): void {
    if (this.#ended || this.#live !== undefined || !this.#sink.ready) return;
    const position = { epoch: this.#epoch, sequence: this.#next };
    // What is kept comes within the call, so before the subscription is known.
    const live = this.#operations.subscribe(position, (event) => this.#receive(event));
    if (this.#ended || !this.#sink.ready) live[Symbol.dispose]();
    else this.#live = live;
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#stop();
  }

  #receive(event: LifecycleEvent): void {
    // The rest of a batch, or of the turn, after the peer fell behind: it is taken from the log later.
    if (this.#ended || !this.#sink.ready) {
      this.#stop();
      return;
    }
    if (event.sequence > this.#next) {
      this.#sink.gap(this.#epoch, this.#next, event.sequence - 1);
    }
    this.#next = event.sequence + 1;
    this.#sink.event(this.#epoch, event);
  }

  #stop(): void {
    this.#live?.[Symbol.dispose]();
    this.#live = undefined;
  }
}

function gapOf(gap: EventSubscription['gap'], next: number): Pick<SubscriptionStart, 'gap'> {
  if (gap === undefined) return {};
  if (gap === 'other-epoch') return { gap: { from: 1, to: next - 1, reason: 'other-epoch' } };
  return { gap: { ...gap, reason: 'dropped' } };
}
