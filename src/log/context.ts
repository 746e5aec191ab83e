import { AsyncLocalStorage } from 'node:async_hooks';
import type { LogFields } from './logger.ts';

const storage = new AsyncLocalStorage<LogFields>();

/**
 * Runs `action` with these fields on every entry that is logged in it, whatever logger is used:
 * in its calls, and in all it starts and awaits. So the trace context of a request reaches the
 * entries of the lower floors, which know nothing of requests.
 */
export function runWithLogFields<T>(fields: LogFields, action: () => T): T {
  return storage.run(fields, action);
}

/** Runs `action` without such fields: for what outlives the request that set it off. */
export function runWithoutLogFields<T>(action: () => T): T {
  return storage.exit(action);
}

/** The fields of the request that is being handled, undefined outside of one. */
export function currentLogFields(): LogFields | undefined {
  return storage.getStore();
}
