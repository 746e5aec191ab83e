/** setTimeout takes at most 2^31-1 ms and fires at once for more; the protocol's u32 reaches 2^32-1. */
const LONGEST_MS = 2 ** 31 - 1;

/** Calls `elapsed` once after any number of milliseconds; dispose cancels. */
export function startTimer(milliseconds: number, elapsed: () => void): Disposable {
  let timer: NodeJS.Timeout;
  const arm = (left: number): void => {
    const step = Math.min(left, LONGEST_MS);
    timer = setTimeout(() => (left > step ? arm(left - step) : elapsed()), step);
  };
  arm(milliseconds);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

/** Resolves when `promise` does, or after so many milliseconds; rejects as it does. */
export async function within(milliseconds: number, promise: Promise<unknown>): Promise<void> {
  // No AbortSignal: making the error that an abort takes as its reason costs a millisecond.
  const { promise: elapsed, resolve } = Promise.withResolvers<void>();
  using _timer = startTimer(milliseconds, resolve);
  await Promise.race([promise, elapsed]);
}
