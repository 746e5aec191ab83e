import { setTimeout as delay } from 'node:timers/promises';

/** setTimeout takes at most 2^31-1 ms and fires at once for more. */
const LONGEST_MS = 2 ** 31 - 1;

/** Waits any number of milliseconds; Infinity for ever. Rejects with the signal's reason. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  for (let left = milliseconds; left > 0; left -= LONGEST_MS) {
    try {
      await delay(Math.min(left, LONGEST_MS), undefined, { signal });
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    }
  }
}
