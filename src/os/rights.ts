import { constants } from 'node:os';
import { check, OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { untilReady } from './poll.ts';

const { errno } = constants;
/** Bytes taken with one message; what a console socket sends is a path. */
const MESSAGE_MAX = 4096;

/**
 * recvmsg(2) with SCM_RIGHTS: waits for one message and returns its descriptors and data. The
 * socket must be non-blocking. Rejects with OsError ECONNRESET at EOF without a message, and with
 * EMSGSIZE (all descriptors closed) when more than `maxFds` (default 16) came.
 */
export async function receiveFds(
  fd: Fd,
  options: { signal?: AbortSignal; maxFds?: number } = {},
): Promise<{ fds: Fd[]; data: Buffer }> {
  const { signal, maxFds = 16 } = options;
  const bytes = Buffer.alloc(MESSAGE_MAX);
  for (;;) {
    signal?.throwIfAborted();
    const received = receiveFdsNow(fd, bytes, maxFds);
    if (received === 'again') {
      await untilReady(fd.raw, { read: true }, signal === undefined ? {} : { signal });
      continue;
    }
    const { fds, length } = received;
    if (length === 0 && fds.length === 0)
      throw new OsError('recvmsg', errno.ECONNRESET, 'end of stream');
    return { fds, data: bytes.subarray(0, length) };
  }
}

/**
 * sendmsg(2) with SCM_RIGHTS; the descriptors stay the caller's. `data` must not be empty: a stream
 * socket carries no descriptors without a byte. OsError EAGAIN when a non-blocking socket is full.
 */
export function sendFds(fd: Fd, data: Uint8Array, fds: readonly Fd[]): void {
  if (data.length === 0) throw new OsError('sendmsg', errno.EINVAL, 'no data');
  const raws = Int32Array.from(fds, (each) => each.raw);
  const sent = check('sendmsg', native().sendFds(fd.raw, data, raws));
  // The descriptors went with the first byte; the rest follows without them.
  if (sent < data.length) sendFds(fd, data.subarray(sent), []);
}

/**
 * recvmsg(2) with SCM_RIGHTS, now: at most `bytes.length` bytes of a stream socket and the
 * descriptors that came with them; 'again' when there is nothing yet, 0 bytes at the end. OsError
 * EMSGSIZE (all descriptors closed) when more than `maxFds` came.
 */
export function receiveFdsNow(
  fd: Fd,
  bytes: Uint8Array,
  maxFds: number,
): { fds: Fd[]; length: number } | 'again' {
  const out = new Int32Array(2 + maxFds);
  const result = native().receiveFds(fd.raw, bytes, out);
  if (result === -errno.EAGAIN) return 'again';
  const length = check('recvmsg', result);
  const [count = 0, truncated = 0, ...raws] = out;
  const fds = raws.slice(0, count).map((raw) => new Fd(raw));
  if (truncated !== 0) {
    for (const each of fds) each.close();
    throw new OsError('recvmsg', errno.EMSGSIZE, `more than ${maxFds} descriptors`);
  }
  return { fds, length };
}
