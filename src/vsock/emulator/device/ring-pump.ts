import type { VsockDevice } from './device.ts';
import { DeviceError } from './errors.ts';
import { HEADER_BYTES, HOST_CID, readHeader, slice, totalLength, writeHeader } from './packet.ts';
import type { Chain, Virtqueue } from './virtqueue.ts';
import type { Vring } from './vring.ts';

export interface RingPumpOptions {
  device: VsockDevice;
  cid: number;
  /** Host to guest: virtqueue 0. */
  receiveRing: Vring;
  /** Guest to host: virtqueue 1. */
  transmitRing: Vring;
  limits: { turnPackets: number; packetBytes: number; bufferBytes: number };
  /** The guest has broken a ring; both stand still from now on. */
  onFault(error: DeviceError): void;
}

/** Moves packets between the device and its two rings, a bounded number in each turn of the event loop. */
export class RingPump implements Disposable {
  readonly #options: RingPumpOptions;
  #scheduled: NodeJS.Immediate | undefined;
  #fillSoon = false;

  constructor(options: RingPumpOptions) {
    this.#options = options;
  }

  /** Both directions, now. */
  run(): void {
    this.#guard(() => {
      const drained = this.#drain();
      const filled = this.#fill();
      if (!drained || !filled) this.#continue();
    });
  }

  /** The device has something for the guest: at the end of this turn, together with what else comes up. */
  fillSoon(): void {
    if (this.#fillSoon) return;
    this.#fillSoon = true;
    queueMicrotask(() => {
      this.#fillSoon = false;
      this.#guard(() => {
        if (!this.#fill()) this.#continue();
      });
    });
  }

  [Symbol.dispose](): void {
    clearImmediate(this.#scheduled);
  }

  #continue(): void {
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.run();
    });
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      this.#options.receiveRing.fail();
      this.#options.transmitRing.fail();
      this.#options.onFault(error);
    }
  }

  /** Takes packets of the guest; false when there are more. */
  #drain(): boolean {
    const { transmitRing, limits } = this.#options;
    const queue = transmitRing.serving;
    if (queue === undefined) return true;
    queue.wantKicks(false);
    let taken = 0;
    try {
      for (; taken < limits.turnPackets; taken++) {
        const chain = nextBuffer(queue);
        if (chain === undefined) return true;
        this.#receive(chain);
        queue.complete(chain, 0);
      }
      return false;
    } finally {
      if (taken > 0) transmitRing.notify();
    }
  }

  #receive({ readable }: Chain): void {
    const { device } = this.#options;
    const header = readHeader(readable);
    if (header === undefined) {
      device.ignored('packets shorter than a header ignored');
      return;
    }
    const payload = slice(readable, HEADER_BYTES, header.length);
    device.receive(header, payload, totalLength(payload) === header.length);
  }

  /** Gives packets to the guest; false when there are more and buffers for them, too. */
  #fill(): boolean {
    const { device, receiveRing, limits } = this.#options;
    const queue = receiveRing.serving;
    if (queue === undefined) return true;
    queue.wantKicks(false);
    let given = 0;
    try {
      for (; given < limits.turnPackets; given++) {
        if (!device.hasPending) return true;
        const chain = nextBuffer(queue);
        if (chain === undefined) return true;
        const written = this.#send(chain);
        if (written === undefined) return true;
        queue.complete(chain, written);
      }
      return false;
    } finally {
      if (given > 0) receiveRing.notify();
    }
  }

  /** Bytes written into the buffer; undefined when there was nothing to write. */
  #send({ writable }: Chain): number | undefined {
    const { device, cid, limits } = this.#options;
    const room = slice(writable, HEADER_BYTES, limits.packetBytes);
    if (room.length === 0) {
      device.ignored('receive buffers without room for a packet given back');
      return 0;
    }
    const packet = device.next(room);
    if (packet === undefined) return undefined;
    writeHeader(writable, {
      sourceCid: HOST_CID,
      destinationCid: cid,
      sourcePort: packet.ports.hostPort,
      destinationPort: packet.ports.guestPort,
      length: packet.length,
      type: packet.type,
      op: packet.op,
      flags: packet.flags,
      bufferAllocation: limits.bufferBytes,
      forwarded: packet.forwarded,
    });
    return HEADER_BYTES + packet.length;
  }
}

/** The next buffer. When there is none the driver will kick for the next one. */
function nextBuffer(queue: Virtqueue): Chain | undefined {
  const chain = queue.peek();
  if (chain !== undefined) return chain;
  queue.wantKicks(true);
  // One may have been added just before the driver saw that.
  return queue.peek();
}
