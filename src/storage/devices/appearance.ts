import { AgentError } from '../../errors.ts';
import { Uevents } from '../../os/uevents.ts';
import { storageLimits } from '../limits.ts';

/** Tells when the devices of the machine change. */
export type WatchDevices = (onChange: () => void) => Disposable;

export const watchUevents: WatchDevices = (onChange) => new Uevents(onChange);

/**
 * The first result of `find` that is not undefined, asked now and again after each change of
 * devices. What `find` throws ends the wait.
 */
export async function untilFound<T>(
  what: string,
  find: () => T | undefined,
  watch: WatchDevices,
  options: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<T> {
  const now = find();
  if (now !== undefined) return now;
  const { signal, timeoutMs = storageLimits.deviceAppearMs } = options;
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const look = (): void => {
    try {
      const found = find();
      if (found !== undefined) resolve(found);
    } catch (error) {
      reject(error);
    }
  };
  const onAbort = (): void => reject(signal?.reason);
  using _watching = watch(look);
  const late = (): void => reject(notFound(what, timeoutMs));
  const timer = setTimeout(late, timeoutMs);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    // It may have come before anybody watched.
    look();
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

/**
 * The same for what can only be tried: the first result of `attempt` that is not undefined, tried
 * now and again after each change of devices. What `attempt` throws ends the wait.
 */
export async function untilSucceeds<T>(
  what: string,
  attempt: () => Promise<T | undefined>,
  watch: WatchDevices,
  timeoutMs: number = storageLimits.deviceAppearMs,
): Promise<T> {
  let change = Promise.withResolvers<void>();
  using _watching = watch(() => change.resolve());
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    change.resolve();
  }, timeoutMs);
  try {
    for (;;) {
      // Made before the attempt, so that a change during it is not missed.
      change = Promise.withResolvers<void>();
      const result = await attempt();
      if (result !== undefined) return result;
      if (late) throw notFound(what, timeoutMs);
      await change.promise;
    }
  } finally {
    clearTimeout(timer);
  }
}

function notFound(what: string, timeoutMs: number): AgentError {
  return new AgentError('failed', `${what} did not appear within ${timeoutMs} ms`, {
    operation: 'find a device',
    errno: 'ETIMEDOUT',
  });
}
