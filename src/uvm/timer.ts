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
