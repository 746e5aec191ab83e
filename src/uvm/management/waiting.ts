import { AgentError } from '../../errors.ts';
import { startTimer } from '../../os/timer.ts';

export interface WaitOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** What a wait gives up with. */
export function cancelled(what: string): AgentError {
  return new AgentError('cancelled', `${what} was cancelled`);
}

/**
 * The promise's value, unless the wait is given up first: AgentError 'wait-timeout' or 'cancelled'.
 * What is waited for goes on.
 */
export function waitFor<T>(what: string, promise: Promise<T>, options: WaitOptions): Promise<T> {
  const { timeoutMs, signal } = options;
  const { promise: answer, resolve, reject } = Promise.withResolvers<T>();
  const aborted = (): void => reject(cancelled(what));
  if (signal?.aborted === true) {
    aborted();
    return answer;
  }
  const elapsed = (): void =>
    reject(new AgentError('wait-timeout', `${what} did not end within ${timeoutMs} ms`));
  const timer = timeoutMs === undefined ? undefined : startTimer(timeoutMs, elapsed);
  signal?.addEventListener('abort', aborted, { once: true });
  promise.then(resolve, reject);
  return answer.finally(() => {
    timer?.[Symbol.dispose]();
    signal?.removeEventListener('abort', aborted);
  });
}

/**
 * A signal for the start of something: aborted when its time is up ('start-timeout'), when the
 * caller gives up ('cancelled'), or when the agent ends, each with an AgentError as the reason.
 */
export function startDeadline(
  what: string,
  timeoutMs: number,
  signals: readonly (AbortSignal | undefined)[],
): Disposable & { signal: AbortSignal } {
  const controller = new AbortController();
  const cleanUp = new DisposableStack();
  cleanUp.use(
    startTimer(timeoutMs, () =>
      controller.abort(
        new AgentError('start-timeout', `${what}: not started within ${timeoutMs} ms and killed`),
      ),
    ),
  );
  for (const signal of signals) {
    if (signal === undefined) continue;
    const listener = (): void =>
      controller.abort(signal.reason instanceof AgentError ? signal.reason : cancelled(what));
    if (signal.aborted) listener();
    signal.addEventListener('abort', listener, { once: true });
    cleanUp.defer(() => signal.removeEventListener('abort', listener));
  }
  return { signal: controller.signal, [Symbol.dispose]: () => cleanUp.dispose() };
}
