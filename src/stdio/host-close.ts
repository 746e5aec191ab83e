import type { Fd } from '../os/fd.ts';
import { FdPoll } from '../os/poll.ts';
import { bytesUnread } from '../os/relay.ts';

export type HostClose =
  /** The host closed its end, or will send nothing more. */
  | 'closed'
  /** It did not within the bound. */
  | 'bound'
  | 'aborted';

/**
 * Waits until the host has closed a connection that we have shut down for writing. It closes after
 * it has read everything, so this is the only sign that the last byte has arrived. The bound starts
 * again as long as the kernel knows of bytes that the host has not read: a slow host is not a dead
 * one. (Unix sockets tell that exactly, vsock from Linux 6.12 what has not left the guest.)
 */
export function untilHostClosed(
  connection: Fd,
  boundMs: number,
  signal: AbortSignal,
): Promise<HostClose> {
  const { promise, resolve } = Promise.withResolvers<HostClose>();
  if (signal.aborted) return Promise.resolve('aborted');
  const settle = (how: HostClose): void => {
    poll.close();
    clearInterval(timer);
    signal.removeEventListener('abort', onAbort);
    resolve(how);
  };
  const onAbort = (): void => settle('aborted');
  const poll = new FdPoll(connection.raw, { disconnect: true }, (ready) => {
    if (ready.hangup) settle('closed');
  });
  const timer = setInterval(() => {
    if (bytesUnread(connection) === 0) settle('bound');
  }, boundMs);
  signal.addEventListener('abort', onAbort, { once: true });
  return promise;
}
