const NEWLINE = 0x0a;
const SPACE = 0x20;
/** No time is longer than "2026-01-31T12:00:00.123456789+00:00" and its space. */
const TIME_BYTES = 36;

/**
 * Lets through what is in a log from a time on: everything from the first line of that time, for
 * lines stand in the order of their times. A line without a time is of the one before. No more is
 * kept of a line than its time: it may have no end.
 */
export class SinceFilter {
  readonly #since: number;
  /** Of a line whose time was not whole yet. */
  #begun: Buffer = Buffer.alloc(0);
  /** Within a line that is left out. */
  #leavingOut = false;
  #open = false;

  /** `since`: milliseconds since 1970. */
  constructor(since: number) {
    // The clock of the log has nanoseconds, a Date milliseconds: of one instant both are at once.
    this.#since = Math.floor(since);
  }

  filter(chunk: Buffer): Buffer {
    if (this.#open) return chunk;
    const bytes = Buffer.concat([this.#begun, chunk]);
    this.#begun = Buffer.alloc(0);
    for (let start = 0; start < bytes.length; ) {
      if (!this.#leavingOut) {
        const time = timeOf(bytes.subarray(start, start + TIME_BYTES));
        if (time === undefined) {
          this.#begun = Buffer.from(bytes.subarray(start));
          break;
        }
        this.#open = time >= this.#since;
        if (this.#open) return bytes.subarray(start);
      }
      const end = bytes.indexOf(NEWLINE, start);
      this.#leavingOut = end < 0;
      if (end < 0) break;
      start = end + 1;
    }
    return Buffer.alloc(0);
  }
}

/** Of a line that begins like this: NaN when it has none, undefined when that cannot be said yet. */
function timeOf(beginning: Buffer): number | undefined {
  const end = beginning.findIndex((byte) => byte === SPACE || byte === NEWLINE);
  if (end >= 0 && beginning[end] === SPACE) return Date.parse(beginning.toString('latin1', 0, end));
  return end >= 0 || beginning.length === TIME_BYTES ? Number.NaN : undefined;
}
