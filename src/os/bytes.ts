import { constants } from 'node:os';
import { check } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';

const { errno } = constants;

/** The errors of a stream whose peer has gone: nothing more will come or go. */
const GONE = new Set([errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN]);

/** What came of one read or write on a non-blocking descriptor. */
export type Moved =
  /** Bytes moved; 0 for a read is the end of the stream. */
  | number
  /** EAGAIN. */
  | 'again'
  /** The peer has gone (EPIPE, ECONNRESET). */
  | 'gone';

function moved(syscall: string, result: number): Moved {
  if (result >= 0) return result;
  if (result === -errno.EAGAIN) return 'again';
  if (GONE.has(-result)) return 'gone';
  return check(syscall, result);
}

/** read(2) into `bytes`. Throws OsError for any error that is not in Moved. */
export function readBytes(fd: Fd, bytes: Uint8Array): Moved {
  return moved('read', native().readBytes(fd.raw, bytes));
}

/** write(2) of as much of `bytes` as there is room for. Throws OsError for any error that is not in Moved. */
export function writeBytes(fd: Fd, bytes: Uint8Array): Moved {
  return moved('write', native().writeBytes(fd.raw, bytes));
}

/** eventfd(2), non-blocking, at zero. */
export function eventFd(): Fd {
  return new Fd(check('eventfd', native().eventFd()));
}

const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const counter = new Uint8Array(8);

/** Adds one to an eventfd's counter. A counter that is full has woken its reader already. */
export function signalEvent(fd: Fd): void {
  writeBytes(fd, one);
}

/** Sets an eventfd's counter back to zero. */
export function takeEvents(fd: Fd): void {
  readBytes(fd, counter);
}
