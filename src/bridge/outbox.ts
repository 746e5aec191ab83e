import type { Duplex } from 'node:stream';

export interface OutboxEvents {
  /** More than the bound waits for the host: stop making more. */
  readonly onFull: () => void;
  /** The host has read all of it. */
  readonly onDrained: () => void;
  /** So much waits that the host will not be waited for any longer. */
  readonly onAbandoned: () => void;
}

/**
 * Writes frames in order, each as one buffer; those of one turn of the event loop go out in one
 * system call. Knows how much the host has not read.
 */
export class Outbox {
  readonly #stream: Duplex;
  readonly #events: OutboxEvents;
  readonly #fullBytes: number;
  readonly #abandonedBytes: number;
  #corked = false;
  #full = false;

  constructor(
    stream: Duplex,
    limits: { unreadReplyBytes: number; abandonedReplyBytes: number },
    events: OutboxEvents,
  ) {
    this.#stream = stream;
    this.#fullBytes = limits.unreadReplyBytes;
    this.#abandonedBytes = limits.abandonedReplyBytes;
    this.#events = events;
    stream.on('drain', () => {
      if (!this.#full) return;
      this.#full = false;
      this.#events.onDrained();
    });
  }

  /** Bytes the kernel has not taken yet. */
  get unreadBytes(): number {
    return this.#stream.writableLength;
  }

  get full(): boolean {
    return this.#full;
  }

  /** `done` is told whether the kernel took all of it. */
  send(frame: Buffer, done: (error?: Error | null) => void = ignoreOutcome): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#stream.cork();
      process.nextTick(() => this.flush());
    }
    this.#stream.write(frame, done);
    const unread = this.#stream.writableLength;
    if (unread > this.#abandonedBytes) this.#events.onAbandoned();
    else if (unread > this.#fullBytes && !this.#full) {
      // What is corked may go out at once: judge after the kernel was asked.
      this.flush();
      if (this.#stream.writableLength <= this.#fullBytes) return;
      this.#full = true;
      this.#events.onFull();
    }
  }

  /** Hands all to the kernel now, as much as it takes. */
  flush(): void {
    if (!this.#corked) return;
    this.#corked = false;
    this.#stream.uncork();
  }
}

/** A failed write is a failed connection, which has its own event. */
function ignoreOutcome(): void {}
