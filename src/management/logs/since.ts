const NEWLINE = 0x0a;
const SPACE = 0x20;

/**
 * Lets through what is in a log from a time on: everything from the first line of that time, for
 * lines stand in the order of their times. A line without a time is of the one before.
 */
export class SinceFilter {
  readonly #since: number;
  #rest: Buffer = Buffer.alloc(0);
  #open = false;

  /** `since`: milliseconds since 1970. */
  constructor(since: number) {
    this.#since = since;
  }

  filter(chunk: Buffer): Buffer {
    if (this.#open) return chunk;
    const bytes = Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, start);
      if (end < 0) break;
      if (this.#isLater(bytes.subarray(start, end))) {
        this.#open = true;
        this.#rest = Buffer.alloc(0);
        return bytes.subarray(start);
      }
      start = end + 1;
    }
    this.#rest = Buffer.from(bytes.subarray(start));
    return Buffer.alloc(0);
  }

  #isLater(line: Buffer): boolean {
    const space = line.indexOf(SPACE);
    const time = Date.parse(line.toString('latin1', 0, space < 0 ? 0 : space));
    // The clock of the log has nanoseconds, a Date milliseconds: of one instant both are at once.
    return time >= Math.floor(this.#since);
  }
}
