import { randomUUID } from 'node:crypto';
import { Histogram } from './histogram.ts';
import { uvmLimits } from './limits.ts';
import type {
  EventPosition,
  EventSubscription,
  LifecycleEvent,
  LifecycleEventKind,
} from './management-types.ts';

type Receiver = (event: LifecycleEvent) => void;

/**
 * What has happened to containers, numbered. The last events are kept, so that a client that comes
 * back goes on at its number, or is told what it has missed. Numbers begin anew with each agent,
 * which is what the epoch tells.
 */
export class Lifecycle {
  /** How often each kind has been. */
  readonly counts = new Map<LifecycleEventKind, number>();
  /** Seconds an exec takes to its pid. */
  readonly execTimes = new Histogram();
  #epoch: string | undefined;
  /** A ring once it is full: event N is at (N - 1) modulo its length. */
  readonly #kept: LifecycleEvent[] = [];
  readonly #size: number;
  #last = 0;
  readonly #receivers = new Set<Receiver>();

  constructor(size: number = uvmLimits.events) {
    this.#size = size;
  }

  /** Made when first asked for: no start pays for it. */
  get epoch(): string {
    this.#epoch ??= randomUUID();
    return this.#epoch;
  }

  /** Number of the newest event; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  emit(event: Omit<LifecycleEvent, 'sequence' | 'at'> & { at?: number }): void {
    this.#last += 1;
    this.counts.set(event.kind, (this.counts.get(event.kind) ?? 0) + 1);
    const numbered = { sequence: this.#last, at: Date.now(), ...event };
    this.#kept[(this.#last - 1) % this.#size] = numbered;
    // A receiver that fails is the receiver's fault and must not stop what happens to containers.
    for (const receiver of [...this.#receivers]) {
      try {
        receiver(numbered);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** Delivers what is kept from `position` on before it returns, then each event as it happens. */
  subscribe(position: EventPosition | undefined, receiver: Receiver): EventSubscription {
    const oldest = Math.max(1, this.#last - this.#size + 1);
    const foreign = position !== undefined && position.epoch !== this.epoch;
    const wanted = position === undefined ? this.#last + 1 : foreign ? oldest : position.sequence;
    const next = Math.min(Math.max(wanted, oldest), this.#last + 1);
    const gap = foreign
      ? ('other-epoch' as const)
      : wanted < oldest
        ? { from: wanted, to: oldest - 1 }
        : undefined;
    for (let sequence = next; sequence <= this.#last; sequence++) {
      const event = this.#kept[(sequence - 1) % this.#size];
      if (event !== undefined) receiver(event);
    }
    // A function of its own, so that the same receiver can subscribe twice.
    const own: Receiver = (event) => receiver(event);
    this.#receivers.add(own);
    return {
      epoch: this.epoch,
      next,
      gap,
      [Symbol.dispose]: () => {
        this.#receivers.delete(own);
      },
    };
  }
}
