import type { LogFields, Logger } from '../../../log/logger.ts';

/**
 * Log lines about what a peer does wrong. A peer can do it a million times a second, so of each
 * kind only the 1st, 2nd, 4th, 8th … is written, with the count.
 */
export class Complaints {
  readonly #log: Logger;
  readonly #counts = new Map<string, number>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** `what` is a fixed text, so the kinds are few. */
  note(what: string, fields: LogFields = {}): void {
    const count = (this.#counts.get(what) ?? 0) + 1;
    this.#counts.set(what, count);
    if (Number.isInteger(Math.log2(count))) this.#log.warning(what, { ...fields, count });
  }
}
