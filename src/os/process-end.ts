import { hasCode, OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { untilReady } from './poll.ts';

/**
 * Resolves when a process has ended, whoever's child it is: its pidfd becomes readable, see
 * pidfd_open(2). At once for one that is gone. The status is its parent's to collect. The caller
 * makes sure that `pid` still is the process it means. Rejects with the signal's reason.
 */
export async function untilProcessEnds(
  pid: number,
  options?: { signal?: AbortSignal },
): Promise<void> {
  const pidfd = native().pidfdOpen(pid);
  if (pidfd < 0) {
    const error = new OsError('pidfd_open', -pidfd, String(pid));
    if (hasCode(error, 'ESRCH')) return;
    throw error;
  }
  using owned = new Fd(pidfd);
  await untilReady(owned.raw, { read: true }, options);
}
