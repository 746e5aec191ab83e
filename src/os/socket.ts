import { constants } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { check, OsError } from './errors.ts';
import { Fd, rawOf } from './fd.ts';
import { native } from './native.ts';
import { untilReady } from './poll.ts';
import { withConnectAddress } from './unix-path.ts';

export { toDuplex } from './duplex.ts';
export { type FdListener, listenUnix, listenVsock } from './listener.ts';
export { receiveFds, sendFds } from './rights.ts';

export interface ConnectOptions {
  /** Milliseconds until the attempt fails with ETIMEDOUT; default: none of our own. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** vsock(7): CID of the machine a guest runs on. */
export const VMADDR_CID_HOST = 2;
/** vsock(7): local loopback. */
export const VMADDR_CID_LOCAL = 1;
/** vsock(7): any CID, for bind. */
export const VMADDR_CID_ANY = 0xffffffff;

const { errno } = constants;
// socket(2)
const AF_UNIX = 1;
const AF_VSOCK = 40;

/** Milliseconds between attempts while a listener's backlog is full. */
const BACKLOG_RETRY_MS = 5;

/**
 * One non-blocking connect. `start` returns the result of connect(2). The status that libuv reports
 * for a refused connect is its own; the socket's SO_ERROR is the truth.
 */
async function connecting(
  family: number,
  target: string,
  start: (raw: number) => number,
  options: ConnectOptions,
): Promise<Fd> {
  options.signal?.throwIfAborted();
  const fd = new Fd(check('socket', native().socket(family)));
  try {
    // On one machine a connect is mostly done at once, and then needs no deadline.
    let result = start(fd.raw);
    if (isUnderWay(family, result)) {
      using deadline = new Deadline(options, target);
      result = await outcomeOf(family, fd.raw, result, () => start(fd.raw), deadline.signal);
    }
    check('connect', result, target);
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

/** True for results of connect(2) that are not its last word. */
function isUnderWay(family: number, result: number): boolean {
  return result === -errno.EINPROGRESS || result === -errno.EINTR || isBacklogFull(family, result);
}

/**
 * A unix socket whose listener's backlog is full says EAGAIN, and the kernel has no event for
 * "there is room again" (unix(7), connect(2)): asking again is the only way.
 */
function isBacklogFull(family: number, result: number): boolean {
  return family === AF_UNIX && result === -errno.EAGAIN;
}

async function outcomeOf(
  family: number,
  raw: number,
  first: number,
  again: () => number,
  signal: AbortSignal | undefined,
): Promise<number> {
  let result = first;
  while (isBacklogFull(family, result)) {
    await delay(BACKLOG_RETRY_MS);
    signal?.throwIfAborted();
    result = again();
  }
  if (result !== -errno.EINPROGRESS && result !== -errno.EINTR) return result;
  await untilReady(raw, { write: true }, signal === undefined ? {} : { signal });
  return native().socketError(raw);
}

/** The caller's signal and time limit as one signal, released when the attempt is over. */
class Deadline implements Disposable {
  readonly signal: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor({ timeoutMs, signal }: ConnectOptions, target: string) {
    if (timeoutMs === undefined) {
      this.signal = signal;
      return;
    }
    const controller = new AbortController();
    const elapsed = (): void => controller.abort(new OsError('connect', errno.ETIMEDOUT, target));
    this.#timer = setTimeout(elapsed, timeoutMs);
    this.signal =
      signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Non-blocking connect to an AF_VSOCK address; one attempt. Rejects with OsError (ECONNRESET or ECONNREFUSED: nobody listens; ENODEV: no transport to that CID; ETIMEDOUT). */
export function connectVsock(cid: number, port: number, options: ConnectOptions = {}): Promise<Fd> {
  const start = (raw: number): number => native().connectVsock(raw, cid, port);
  return connecting(AF_VSOCK, `vsock ${cid}:${port}`, start, options);
}

/** CID of the machine at the other end of a connected AF_VSOCK socket (getpeername(2)). OsError EAFNOSUPPORT for a socket of another family. */
export function vsockPeerCid(fd: Fd): number {
  return check('getpeername', native().vsockPeerCid(fd.raw));
}

/** Non-blocking connect to a unix stream socket. Paths longer than sun_path (107 bytes) are reached through /proc/self/fd. */
export function connectUnix(path: string, options: ConnectOptions = {}): Promise<Fd> {
  const start = (raw: number): number =>
    withConnectAddress(path, (address) => native().connectUnix(raw, address));
  return connecting(AF_UNIX, path, start, options);
}

/** A connected pair of unix stream sockets, non-blocking, close-on-exec. */
export function socketPair(): [Fd, Fd] {
  const ends = new Int32Array(2);
  check('socketpair', native().socketPair(ends));
  const [one = -1, other = -1] = ends;
  return [new Fd(one), new Fd(other)];
}

/** socketpair(2) with SOCK_SEQPACKET: what one end sends at once the other receives at once. */
export function packetPair(): [Fd, Fd] {
  const ends = new Int32Array(2);
  check('socketpair', native().packetPair(ends));
  const [one = -1, other = -1] = ends;
  return [new Fd(one), new Fd(other)];
}

const howNumber = { read: 0, write: 1, both: 2 } as const;

/** shutdown(2). ENOTCONN is not an error: the peer may have gone first. */
export function shutdown(fd: Fd | number, how: 'read' | 'write' | 'both'): void {
  const result = native().shutdown(rawOf(fd), howNumber[how]);
  if (result !== -errno.ENOTCONN) check('shutdown', result);
}
