import { DeviceError } from './errors.ts';
import type { GuestMemory } from './guest-memory.ts';

/** Where the three parts of a split virtqueue are, in addresses of the front-end. */
export interface QueueAddresses {
  descriptors: number;
  available: number;
  used: number;
}

/** One buffer the driver has made available: its parts, in order. */
export interface Chain {
  readonly head: number;
  /** For the device to read. */
  readonly readable: readonly Uint8Array[];
  /** For the device to write. */
  readonly writable: readonly Uint8Array[];
}

// virtio 1.2, 2.7.5 and 2.7.6 to 2.7.8
const DESC_NEXT = 1;
const DESC_WRITE = 2;
const AVAIL_NO_INTERRUPT = 1;
const USED_NO_NOTIFY = 1;
const DESC_SIZE = 16;

/**
 * The device's side of a split virtqueue (virtio 1.2, 2.7) without indirect descriptors and without
 * event indices, neither of which is offered. Buffers are used in the order they come, one at a
 * time. Everything in the rings is the guest's word: indices, lengths and addresses are checked, and
 * a DeviceError 'ring' means that nothing in this queue can be believed any more.
 */
export class Virtqueue {
  readonly size: number;
  readonly #memory: GuestMemory;
  readonly #descriptors: Uint32Array;
  /** flags, idx, ring[size] */
  readonly #available: Uint16Array;
  /** flags, idx */
  readonly #usedHeader: Uint16Array;
  /** { id, len }[size] */
  readonly #usedRing: Uint32Array;
  #next: number;
  #used: number;

  /** `base`: index of the next buffer. Throws DeviceError 'protocol' when a part is not in memory. */
  constructor(memory: GuestMemory, size: number, base: number, addresses: QueueAddresses) {
    this.size = size;
    this.#memory = memory;
    const descriptors = memory.ring(addresses.descriptors, DESC_SIZE * size, 16);
    const available = memory.ring(addresses.available, 4 + 2 * size, 2);
    const used = memory.ring(addresses.used, 4 + 8 * size, 4);
    this.#descriptors = new Uint32Array(descriptors.buffer, descriptors.offset, 4 * size);
    this.#available = new Uint16Array(available.buffer, available.offset, 2 + size);
    this.#usedHeader = new Uint16Array(used.buffer, used.offset, 2);
    this.#usedRing = new Uint32Array(used.buffer, used.offset + 4, 2 * size);
    this.#next = base & 0xffff;
    this.#used = Atomics.load(this.#usedHeader, 1);
  }

  /** Index of the next buffer, for the next start of this queue. */
  get base(): number {
    return this.#next;
  }

  /** Whether a buffer is available. */
  get pending(): boolean {
    return Atomics.load(this.#available, 1) !== this.#next;
  }

  /** The next buffer, undefined when there is none. It stays the next one until complete(). */
  peek(): Chain | undefined {
    const waiting = (Atomics.load(this.#available, 1) - this.#next) & 0xffff;
    if (waiting === 0) return undefined;
    if (waiting > this.size)
      throw new DeviceError('ring', `${waiting} buffers in a queue of ${this.size}`);
    const head = this.#available[2 + (this.#next & (this.size - 1))] ?? 0;
    return this.#collect(head);
  }

  #collect(head: number): Chain {
    const readable: Uint8Array[] = [];
    const writable: Uint8Array[] = [];
    let index = head;
    // A chain longer than the table has a loop.
    for (let count = 0; count < this.size; count++) {
      if (index >= this.size)
        throw new DeviceError('ring', `descriptor ${index} of a table of ${this.size}`);
      const at = index * 4;
      const address =
        (this.#descriptors[at] ?? 0) + (this.#descriptors[at + 1] ?? 0) * 0x1_0000_0000;
      const length = this.#descriptors[at + 2] ?? 0;
      const flagsAndNext = this.#descriptors[at + 3] ?? 0;
      const flags = flagsAndNext & 0xffff;
      if ((flags & ~(DESC_NEXT | DESC_WRITE)) !== 0)
        throw new DeviceError('ring', `descriptor ${index} has flags that were not negotiated`);
      this.#memory.guest(address, length, flags & DESC_WRITE ? writable : readable);
      if ((flags & DESC_NEXT) === 0) return { head, readable, writable };
      index = flagsAndNext >>> 16;
    }
    throw new DeviceError('ring', `the descriptors from ${head} on are a loop`);
  }

  /** Gives the buffer that peek() returned back to the driver, with `written` bytes in it. */
  complete(chain: Chain, written: number): void {
    const entry = 2 * (this.#used & (this.size - 1));
    this.#usedRing[entry] = chain.head;
    this.#usedRing[entry + 1] = written;
    this.#next = (this.#next + 1) & 0xffff;
    this.#used = (this.#used + 1) & 0xffff;
    // After the entry: the driver reads the index first.
    Atomics.store(this.#usedHeader, 1, this.#used);
  }

  /** Asks the driver for kicks, or to save them. After asking, look at `pending` once more. */
  wantKicks(on: boolean): void {
    Atomics.store(this.#usedHeader, 0, on ? 0 : USED_NO_NOTIFY);
  }

  /** Whether the driver wants to be told of used buffers. */
  get wantsCalls(): boolean {
    return (Atomics.load(this.#available, 0) & AVAIL_NO_INTERRUPT) === 0;
  }
}
