import { check } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { FdPoll, type Readiness } from './poll.ts';

// epoll_ctl(2)
const EPOLLIN = 0x1;
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;
const EVENTS_AT_ONCE = 256;

/** One descriptor that is being watched. */
export interface Watched {
  readonly id: number;
  readonly fd: number;
}

/**
 * Hundreds of sockets on one epoll(7) instance, edge-triggered: what a socket is ready for is told
 * once, and again only after it was not. The owner of a socket reads or writes until EAGAIN and
 * never has to switch its interest on or off. `hangup` means that both directions are over
 * (EPOLLHUP) or that there is an error; the end of one direction shows as readable.
 */
export class EdgePoll implements Disposable {
  readonly #epoll = new Fd(check('epoll_create1', native().epollNew()));
  readonly #poll: FdPoll;
  readonly #handlers = new Map<number, (ready: Readiness) => void>();
  readonly #events = new Int32Array(2 * EVENTS_AT_ONCE);
  #lastId = 0;

  constructor() {
    this.#poll = new FdPoll(this.#epoll.raw, { read: true }, () => this.#deliver());
  }

  /** The descriptor stays the caller's; remove() it before it is closed. Ready sockets are told in the next turn of the event loop. */
  add(fd: Fd, onReady: (ready: Readiness) => void): Watched {
    do this.#lastId = (this.#lastId + 1) & 0x7fffffff;
    while (this.#handlers.has(this.#lastId));
    const id = this.#lastId;
    check('epoll_ctl', native().epollAdd(this.#epoll.raw, fd.raw, EPOLLIN | EPOLLOUT, id));
    this.#handlers.set(id, onReady);
    return { id, fd: fd.raw };
  }

  /** No event comes after this, also none that has been taken already. */
  remove({ id, fd }: Watched): void {
    if (!this.#handlers.delete(id)) return;
    check('epoll_ctl', native().epollRemove(this.#epoll.raw, fd));
  }

  #deliver(): void {
    const events = this.#events;
    const count = check('epoll_wait', native().epollTake(this.#epoll.raw, events));
    for (let index = 0; index < count; index++) {
      const bits = events[2 * index + 1] ?? 0;
      const hangup = (bits & (EPOLLERR | EPOLLHUP)) !== 0;
      this.#handlers.get(events[2 * index] ?? 0)?.({
        readable: hangup || (bits & EPOLLIN) !== 0,
        writable: hangup || (bits & EPOLLOUT) !== 0,
        hangup,
      });
    }
  }

  close(): void {
    this.#poll.close();
    this.#handlers.clear();
    this.#epoll.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
