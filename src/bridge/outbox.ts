import type { ByteChannel, WriteDone } from '../os/byte-channel.ts';

export interface OutboxEvents {
  /** More than the bound waits for the host: stop making more. */
  readonly onFull: () => void;
  /** The host has read all of it: see drained(). */
  readonly onDrained: () => void;
  /** So much waits that the host will not be waited for any longer. */
  readonly onAbandoned: () => void;
}

/**
 * Writes frames in order, each as one buffer; those of one turn of the event loop go out in one
 * system call. Knows how much the host has not read.
 */
export class Outbox {
  readonly #channel: ByteChannel;
  readonly #events: OutboxEvents;
  readonly #fullBytes: number;
  readonly #abandonedBytes: number;
  #held = false;
  #full = false;

  constructor(
    channel: ByteChannel,
    limits: { unreadReplyBytes: number; abandonedReplyBytes: number },
    events: OutboxEvents,
  ) {
    this.#channel = channel;
    this.#fullBytes = limits.unreadReplyBytes;
    this.#abandonedBytes = limits.abandonedReplyBytes;
    this.#events = events;
  }

  /** To be called when the channel says so. */
  drained(): void {
    if (!this.#full) return;
    this.#full = false;
    this.#events.onDrained();
  }

  /** Bytes the kernel has not taken yet. */
  get unreadBytes(): number {
    return this.#channel.unwritten;
  }

  get full(): boolean {
    return this.#full;
  }

  /** `done` is told whether the kernel took all of it. */
  send(frame: Buffer, done: WriteDone = ignoreOutcome): void {
    if (!this.#held) {
      this.#held = true;
      process.nextTick(() => this.flush());
    }
    this.#channel.write(frame, done);
    const unread = this.#channel.unwritten;
    if (unread > this.#abandonedBytes) this.#events.onAbandoned();
    else if (unread > this.#fullBytes && !this.#full) {
      // What is held may go out at once: judge after the kernel was asked.
      this.flush();
      if (this.#channel.unwritten <= this.#fullBytes) return;
      this.#full = true;
      this.#events.onFull();
    }
  }

  /** Hands all to the kernel now, as much as it takes. */
  flush(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#channel.flush();
  }
}

/** A failed write is a failed connection, which has its own event. */
function ignoreOutcome(): void {}
