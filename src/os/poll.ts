import { check } from './errors.ts';
import { native, type PollHandle } from './native.ts';

/** What an FdPoll waits for; POLLHUP and POLLERR are always reported. */
export type Readiness = { readable: boolean; writable: boolean; hangup: boolean };

/** What to wait for. */
export interface Interest {
  read?: boolean;
  write?: boolean;
  disconnect?: boolean;
  priority?: boolean;
}

const UV_READABLE = 1;
const UV_WRITABLE = 2;
const UV_DISCONNECT = 4;
const UV_PRIORITIZED = 8;
// poll(2)
const POLLIN = 0x1;
const POLLOUT = 0x4;
const POLLERR = 0x8;
const POLLHUP = 0x10;
const POLLRDHUP = 0x2000;

function eventsOf({ read, write, disconnect, priority }: Interest): number {
  return (
    (read ? UV_READABLE : 0) |
    (write ? UV_WRITABLE : 0) |
    (disconnect ? UV_DISCONNECT : 0) |
    (priority ? UV_PRIORITIZED : 0)
  );
}

/**
 * uv_poll on one descriptor: the event loop wakes when it is ready, no thread is blocked. The
 * descriptor stays the caller's and must outlive the poll. The native side keeps the poll alive
 * until it is closed, so an unreferenced poll is never garbage-collected while it waits.
 *
 * Delivery is level-triggered: `onReady` comes again as long as the condition lasts and the poll is
 * neither paused nor closed. An error condition (POLLERR, a refused connect or a pipe without
 * readers) is delivered once, as readable and writable where they were asked for, so that the next
 * system call tells the error; resume() arms the poll again. `hangup` is POLLHUP, POLLERR, or with
 * `disconnect` POLLRDHUP (the peer sends no more). With `priority` (POLLPRI) onReady is what tells of
 * it: files of the kernel that report events so forget each when it was looked at.
 *
 * One poll a descriptor: a second one throws EEXIST. Regular files cannot be polled: EPERM.
 */
export class FdPoll implements Disposable {
  readonly #handle: PollHandle;
  #events: number;
  #closed = false;

  constructor(fd: number, interest: Interest, onReady: (ready: Readiness) => void) {
    this.#events = eventsOf(interest);
    const handle = native().pollNew(fd, this.#events, (revents) => {
      const over = (revents & (POLLERR | POLLHUP)) !== 0;
      onReady({
        readable: (this.#events & UV_READABLE) !== 0 && (over || (revents & POLLIN) !== 0),
        writable: (this.#events & UV_WRITABLE) !== 0 && (over || (revents & POLLOUT) !== 0),
        hangup: over || (revents & POLLRDHUP) !== 0,
      });
    });
    if (typeof handle === 'number') {
      check('epoll_ctl', handle, `${fd}`);
      throw new TypeError('native poll without a handle');
    }
    this.#handle = handle;
    try {
      this.resume();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Waits for this from now on; for nothing it is as if paused. Throws EBADF after close. */
  want(interest: Interest): void {
    const events = eventsOf(interest);
    if (events === this.#events) return;
    check('epoll_ctl', native().pollWant(this.#handle, events));
    this.#events = events;
  }

  /** Stops delivery without giving up the handle; a paused poll does not keep the event loop alive. */
  pause(): void {
    check('epoll_ctl', native().pollStop(this.#handle));
  }

  /** Starts delivery again. Throws EBADF after close. */
  resume(): void {
    check('epoll_ctl', native().pollStart(this.#handle));
  }

  /** Keep (default) the event loop alive while delivery is on. */
  ref(): void {
    native().pollRef(this.#handle, true);
  }

  /** Do not keep the event loop alive. */
  unref(): void {
    native().pollRef(this.#handle, false);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    native().pollClose(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Resolves when `fd` is ready; rejects with the signal's reason. */
export function untilReady(
  fd: number,
  interest: Interest,
  options: { signal?: AbortSignal } = {},
): Promise<Readiness> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const settle = (): void => {
      poll.close();
      signal?.removeEventListener('abort', onAbort);
    };
    const onAbort = (): void => {
      settle();
      reject(signal?.reason);
    };
    const poll = new FdPoll(fd, interest, (ready) => {
      settle();
      resolve(ready);
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
