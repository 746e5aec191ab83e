import { type Moved, readBytes, writeBytes } from '../../../os/bytes.ts';
import type { EdgePoll, Watched } from '../../../os/edge-poll.ts';
import type { Fd } from '../../../os/fd.ts';
import type { Readiness } from '../../../os/poll.ts';
import { shutdown } from '../../../os/socket.ts';
import { type Budget, ByteQueue } from './byte-queue.ts';

export interface HostSocketEvents {
  /** There may be something to read. */
  onReadable(): void;
  /** Bytes that had to wait were written, or dropped because nobody will read them. */
  onForwarded(bytes: number): void;
  /** The host reads no more: what is sent to it is dropped from now on. */
  onDeaf(): void;
  /** The host has closed both directions. */
  onHangup(): void;
  /** After finish(): everything is written and the descriptor closed. */
  onFinished(): void;
}

/** Reads of a socket that is being closed, so that its peer sees an end and not a reset; bounds a peer that writes on and on. */
const DISCARD_READS = 64;
const discarded = new Uint8Array(65_536);

/**
 * The unix socket of one connection. Bytes from the guest are written at once and wait only when
 * the host does not keep up; bytes from the host are never held here, they are read when the guest
 * has room.
 */
export class HostSocket {
  readonly #fd: Fd;
  readonly #poll: EdgePoll;
  readonly #events: HostSocketEvents;
  readonly #waiting: ByteQueue;
  readonly #watched: Watched;
  #deaf = false;
  #ending = false;
  #finishing = false;
  #hungUp = false;

  /** Owns `fd`, also when it throws. */
  constructor(fd: Fd, poll: EdgePoll, budget: Budget, events: HostSocketEvents) {
    this.#fd = fd;
    this.#poll = poll;
    this.#events = events;
    this.#waiting = new ByteQueue(budget);
    try {
      this.#watched = poll.add(fd, (ready) => this.#onReady(ready));
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  /** True once the host has closed both directions; what it sent before may still be read. */
  get hungUp(): boolean {
    return this.#hungUp;
  }

  #onReady(ready: Readiness): void {
    if (ready.writable) this.#flush();
    if (!this.#fd.open) return;
    if (ready.hangup && !this.#hungUp) {
      this.#hungUp = true;
      if (this.#finishing) this.destroy();
      else this.#events.onHangup();
    }
    if (ready.readable && this.#fd.open) this.#events.onReadable();
  }

  /** Reads what the host has sent; 0 is the end of its direction. */
  read(into: Uint8Array): Moved {
    return readBytes(this.#fd, into);
  }

  /**
   * Writes, or keeps what cannot be written now. Returns the bytes that have gone on already (the
   * rest is told by onForwarded), or 'full' when the budget does not allow to keep the rest.
   */
  write(pieces: readonly Uint8Array[]): number | 'full' {
    let done = 0;
    for (const piece of pieces) {
      const written = this.#waiting.empty ? this.#writeNow(piece) : 0;
      done += written;
      if (written < piece.length && !this.#waiting.push(piece.subarray(written))) return 'full';
    }
    return done;
  }

  /** Bytes done with: written, or dropped since nobody reads them. */
  #writeNow(bytes: Uint8Array): number {
    if (this.#deaf) return bytes.length;
    let done = 0;
    while (done < bytes.length) {
      const moved = writeBytes(this.#fd, bytes.subarray(done));
      if (moved === 'again') return done;
      if (moved === 'gone') {
        this.#deaf = true;
        this.#events.onDeaf();
        return bytes.length;
      }
      done += moved;
    }
    return done;
  }

  #flush(): void {
    let forwarded = 0;
    for (let next = this.#waiting.peek(); next !== undefined; next = this.#waiting.peek()) {
      const written = this.#writeNow(next);
      forwarded += written;
      const all = written === next.length;
      this.#waiting.drop(written);
      if (!all) break;
    }
    if (forwarded > 0) this.#events.onForwarded(forwarded);
    if (this.#waiting.empty && this.#fd.open) this.#settle();
  }

  #settle(): void {
    if (this.#finishing) this.destroy();
    else if (this.#ending) shutdown(this.#fd, 'write');
  }

  /** The guest sends no more: the host sees the end once everything before it was written. */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    if (this.#waiting.empty) this.#settle();
  }

  /** The guest takes no more: the host's writes fail. */
  stopReading(): void {
    shutdown(this.#fd, 'read');
  }

  /** Both: the descriptor is closed as soon as everything is written, at once if nothing waits. */
  finish(): void {
    if (this.#finishing || !this.#fd.open) return;
    this.#finishing = true;
    if (this.#waiting.empty || this.#hungUp) this.destroy();
    else this.stopReading();
  }

  /** Closes now; what waits is lost. */
  destroy(): void {
    if (!this.#fd.open) return;
    this.#waiting.clear();
    this.#poll.remove(this.#watched);
    closeQuietly(this.#fd);
    this.#events.onFinished();
  }
}

/**
 * Closes a unix socket so that its peer reads an end: one that is closed with bytes unread gives
 * the peer ECONNRESET.
 */
export function closeQuietly(fd: Fd): void {
  shutdown(fd, 'read');
  for (let count = 0; count < DISCARD_READS; count++) {
    const moved = readBytes(fd, discarded);
    if (typeof moved !== 'number' || moved === 0) break;
  }
  fd.close();
}
