import type { PortPair } from './connection.ts';

export interface Reset extends PortPair {
  /** Socket type of the packet it answers. */
  readonly type: number;
}

/** Resets that wait for the guest: of connections that are forgotten already, or that never were. */
export class Resets {
  readonly #limit: number;
  readonly #waiting: Reset[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  get count(): number {
    return this.#waiting.length;
  }

  /** False when there are too many: the guest is one that takes none. */
  push(reset: Reset): boolean {
    if (this.#waiting.length >= this.#limit) return false;
    this.#waiting.push(reset);
    return true;
  }

  next(): Reset | undefined {
    return this.#waiting.shift();
  }

  clear(): void {
    this.#waiting.length = 0;
  }
}
