import type { Logger } from '../log/logger.ts';
import type { WriteDone } from '../os/byte-channel.ts';

/** Writes one frame; tells whether the kernel took it. */
export type SendFrame = (frame: Buffer, done: WriteDone) => void;

interface Entry {
  readonly containerId: string;
  readonly frame: Buffer;
  readonly taken: (() => void) | undefined;
  written: boolean;
}

/**
 * Exit notifications on their way, in order. They go out at once while there is a connection that
 * has negotiated, and wait otherwise. One is forgotten only when a connection took all of it, so
 * that none is lost with a connection and none is sent twice.
 */
export class NotificationQueue {
  readonly #log: Logger;
  readonly #limit: number;
  readonly #entries = new Set<Entry>();
  #send: SendFrame | undefined;

  constructor(limit: number, log: Logger) {
    this.#limit = limit;
    this.#log = log;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** @param taken called when a connection took it, or it was given up */
  push(containerId: string, frame: Buffer, taken?: () => void): void {
    if (this.#entries.size >= this.#limit) this.#dropOldest();
    const entry = { containerId, frame, taken, written: false };
    this.#entries.add(entry);
    this.#write(entry);
  }

  /** A connection has negotiated: what waits goes out over it. Once it is lost its `send` fails all. */
  attach(send: SendFrame): void {
    this.#send = send;
    for (const entry of this.#entries) this.#write(entry);
  }

  #write(entry: Entry): void {
    const send = this.#send;
    if (send === undefined || entry.written) return;
    entry.written = true;
    send(entry.frame, (error) => {
      if (error === undefined) {
        this.#entries.delete(entry);
        entry.taken?.();
        return;
      }
      entry.written = false;
      // The next connection may have negotiated before this one's writes were given up.
      if (this.#send !== send) this.#write(entry);
    });
  }

  #dropOldest(): void {
    const [oldest] = this.#entries;
    if (oldest === undefined) return;
    this.#entries.delete(oldest);
    // Nobody will be told any more.
    oldest.taken?.();
    this.#log.error('exit notification dropped: too many wait for the host', {
      containerId: oldest.containerId,
      limit: this.#limit,
    });
  }
}
