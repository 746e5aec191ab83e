import { fchmodSync, lstatSync, type Stats, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { check, hasCode, OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { FdPoll } from './poll.ts';
import { withBindAddress, withConnectAddress } from './unix-path.ts';

/** A listening socket that hands out raw, non-blocking, close-on-exec descriptors (accept4 on uv_poll, no thread). */
export interface FdListener extends Disposable {
  /** The next connection. Rejects with the signal's reason, or with OsError ECANCELED once closed. */
  accept(options?: { signal?: AbortSignal }): Promise<Fd>;
  close(): void;
}

const { errno } = constants;
// socket(2)
const AF_UNIX = 1;
const AF_VSOCK = 40;
const DEFAULT_BACKLOG = 128;

interface Waiter {
  resolve(fd: Fd): void;
  reject(reason: unknown): void;
}

/** accept4 errors of one connection that died in the queue, see accept(2); the next one may be fine. */
const skipped = new Set([errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.ENETUNREACH]);

/** Accepts only while somebody asks: what nobody wants yet waits in the kernel's backlog. */
class Listener implements FdListener {
  readonly #fd: Fd;
  readonly #poll: FdPoll;
  readonly #onClose: () => void;
  readonly #waiters = new Set<Waiter>();

  constructor(fd: Fd, onClose: () => void) {
    this.#fd = fd;
    this.#onClose = onClose;
    this.#poll = new FdPoll(fd.raw, { read: true }, () => this.#serve());
    this.#poll.pause();
  }

  accept(options: { signal?: AbortSignal } = {}): Promise<Fd> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!this.#fd.open) return Promise.reject(closedError());
    const { promise, resolve, reject } = Promise.withResolvers<Fd>();
    const onAbort = (): void => {
      this.#waiters.delete(waiter);
      if (this.#waiters.size === 0 && this.#fd.open) this.#poll.pause();
      reject(signal?.reason);
    };
    const settled = (): void => signal?.removeEventListener('abort', onAbort);
    const waiter: Waiter = {
      resolve: (fd) => {
        settled();
        resolve(fd);
      },
      reject: (reason) => {
        settled();
        reject(reason);
      },
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiters.add(waiter);
    this.#serve();
    return promise;
  }

  #serve(): void {
    for (const waiter of this.#waiters) {
      const result = this.#acceptOne();
      if (result === -errno.EAGAIN) break;
      this.#waiters.delete(waiter);
      // Out of descriptors and the like go to who asked; trying again by ourselves would spin.
      if (result < 0) waiter.reject(new OsError('accept4', -result));
      else waiter.resolve(new Fd(result));
    }
    if (this.#waiters.size === 0) this.#poll.pause();
    else this.#poll.resume();
  }

  #acceptOne(): number {
    for (;;) {
      const result = native().accept(this.#fd.raw);
      if (!skipped.has(-result)) return result;
    }
  }

  close(): void {
    if (!this.#fd.open) return;
    this.#poll.close();
    try {
      // Removed before the socket dies, so that nobody meets a file that refuses.
      this.#onClose();
    } finally {
      this.#fd.close();
      for (const waiter of this.#waiters) waiter.reject(closedError());
      this.#waiters.clear();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function closedError(): OsError {
  return new OsError('accept4', errno.ECANCELED, 'listener closed');
}

function listening(family: number, backlog: number, bind: (fd: Fd) => () => void): FdListener {
  const fd = new Fd(check('socket', native().socket(family)));
  let undo: () => void = () => {};
  try {
    undo = bind(fd);
    check('listen', native().listen(fd.raw, backlog));
    return new Listener(fd, undo);
  } catch (error) {
    undo();
    fd.close();
    throw error;
  }
}

/** Listens on an AF_VSOCK address. OsError EADDRINUSE: somebody has the port. See vsock(7). */
export function listenVsock(cid: number, port: number, backlog = DEFAULT_BACKLOG): FdListener {
  return listening(AF_VSOCK, backlog, (fd) => {
    check('bind', native().bindVsock(fd.raw, cid, port), `vsock ${cid}:${port}`);
    return () => {};
  });
}

/**
 * Binds (mode 0600) and listens. A stale socket file nobody listens on is replaced; a live one, or a
 * file that is no socket, is EADDRINUSE. The file is removed by close(), unless it has been replaced
 * since. A path longer than sun_path is reached through its directory's descriptor.
 */
export function listenUnix(path: string, backlog = DEFAULT_BACKLOG): FdListener {
  return listening(AF_UNIX, backlog, (fd) => {
    // The socket's own mode becomes the file's at bind(2): never connectable by others, not for a moment.
    fchmodSync(fd.raw, 0o600);
    let result = bindTo(fd, path);
    if (result === -errno.EADDRINUSE && removeStale(path)) result = bindTo(fd, path);
    check('bind', result, path);
    const bound = lstatSync(path);
    return () => removeIfSame(path, bound);
  });
}

function bindTo(fd: Fd, path: string): number {
  return withBindAddress(path, (address) => native().bindUnix(fd.raw, address));
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function removeIfSame(path: string, expected: Stats): void {
  const now = statOf(path);
  if (now === undefined || now.ino !== expected.ino || now.dev !== expected.dev) return;
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

/** Removes a socket file that nobody listens on; false when there is a listener or it is no socket. */
function removeStale(path: string): boolean {
  const found = statOf(path);
  if (found === undefined) return true;
  if (!found.isSocket()) return false;
  // Not a connect, which the listener would have to accept as somebody's connection.
  const result = withConnectAddress(path, (address) => native().probeUnix(-1, address));
  if (result !== -errno.ECONNREFUSED) return false;
  removeIfSame(path, found);
  return true;
}
