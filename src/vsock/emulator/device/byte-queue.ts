/** A bound shared by all connections. */
export class Budget {
  readonly #limit: number;
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  take(bytes: number): boolean {
    if (this.#used + bytes > this.#limit) return false;
    this.#used += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}

interface Block {
  readonly bytes: Uint8Array;
  start: number;
  end: number;
}

/** Small enough for thousands of connections, large enough that bytes that come singly do not cost a block each. */
const BLOCK_BYTES = 16_384;

/** Bytes that wait, in the order they came. The budget is charged for the memory, not for the bytes. */
export class ByteQueue {
  readonly #budget: Budget;
  readonly #blocks: Block[] = [];

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  get empty(): boolean {
    return this.#blocks.length === 0;
  }

  /** Copies the bytes. False, with only a part of them kept, when the budget is exhausted. */
  push(bytes: Uint8Array): boolean {
    let rest = bytes;
    while (rest.length > 0) {
      const block = this.#roomy();
      if (block === undefined) return false;
      const part = rest.subarray(0, block.bytes.length - block.end);
      block.bytes.set(part, block.end);
      block.end += part.length;
      rest = rest.subarray(part.length);
    }
    return true;
  }

  #roomy(): Block | undefined {
    const last = this.#blocks.at(-1);
    if (last !== undefined && last.end < last.bytes.length) return last;
    if (!this.#budget.take(BLOCK_BYTES)) return undefined;
    const block = { bytes: new Uint8Array(BLOCK_BYTES), start: 0, end: 0 };
    this.#blocks.push(block);
    return block;
  }

  /** The next bytes in one piece; undefined when there are none. */
  peek(): Uint8Array | undefined {
    const first = this.#blocks[0];
    return first?.bytes.subarray(first.start, first.end);
  }

  /** Drops this many of what peek() returned. */
  drop(count: number): void {
    const first = this.#blocks[0];
    if (first === undefined) return;
    first.start += count;
    if (first.start < first.end) return;
    this.#blocks.shift();
    this.#budget.give(BLOCK_BYTES);
  }

  clear(): void {
    this.#budget.give(BLOCK_BYTES * this.#blocks.length);
    this.#blocks.length = 0;
  }
}
