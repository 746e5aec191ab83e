import { Pidfd } from './pidfd.ts';

/**
 * Resolves when a process has ended, whoever's child it is, see pidfd_open(2). At once for one that
 * is gone. The caller makes sure that `pid` still is the process it means. Rejects with the signal's
 * reason.
 */
export async function untilProcessEnds(
  pid: number,
  options?: { signal?: AbortSignal },
): Promise<void> {
  using process = Pidfd.open(pid);
  await process?.ended(options);
}
