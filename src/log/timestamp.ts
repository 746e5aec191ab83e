let millisecond = 0;
let millisecondStart = 0n;

/**
 * The time as RFC 3339 with nine digits of fraction. The wall clock gives the milliseconds; the
 * digits below count the time since the first entry of that millisecond, so that entries sort in
 * the order they were made and a clock that is set does not matter.
 */
export function timestamp(): string {
  const now = Date.now();
  const monotonic = process.hrtime.bigint();
  if (now !== millisecond) {
    millisecond = now;
    millisecondStart = monotonic;
  }
  const since = Number(monotonic - millisecondStart);
  const below = String(Math.min(since, 999_999)).padStart(6, '0');
  return `${new Date(now).toISOString().slice(0, -1)}${below}Z`;
}
