import { eventFd, signalEvent, takeEvents } from '../../src/os/bytes.ts';
import type { Fd } from '../../src/os/fd.ts';
import { FdPoll } from '../../src/os/poll.ts';
import { memoryFile, SharedMemory } from '../../src/os/shared-memory.ts';
import { FrontEnd, u32, u64 } from './vhost-front-end.ts';

/**
 * The other side of a vhost-user vsock device: a front-end's messages and a driver's virtqueues,
 * written from the specifications and with nothing of the device's code, so that one mistake is
 * not made twice.
 */

const MEMORY = 8 * 1024 * 1024;
/** Two regions, so that addresses of the driver, of the front-end and of the file all differ. */
const SPLIT = 4 * 1024 * 1024;
const GPA = [0x10_0000, 0x10_0000 + SPLIT] as const;
const UVA = [0x7f00_0000_0000, 0x7e00_0000_0000] as const;
const RING_SPAN = 0x8000;
const RING_SIZE = 128;
const RX = 0;
const TX = 1;
/** Where buffers begin, as offsets in the file. */
const RX_BUFFERS = 0x2_0000;
const RX_SLOT = 0x1100;
const TX_BUFFERS = 0x20_0000;
const TX_SLOT = 0x1_1000;
/** Every packet has a header descriptor and a data descriptor, as in Linux 6.1. */
const SLOTS = RING_SIZE / 2;

export const NEXT = 1;
const WRITE = 2;

export interface Packet {
  srcCid?: bigint;
  dstCid?: bigint;
  srcPort: number;
  dstPort: number;
  len?: number;
  type?: number;
  op: number;
  flags?: number;
  bufAlloc?: number;
  fwdCnt?: number;
  data?: Uint8Array;
}

export interface Descriptor {
  address: number;
  length: number;
  flags: number;
  next: number;
}

/** One ring as the driver sees it. */
class DriverRing {
  readonly kick = eventFd();
  readonly call = eventFd();
  readonly #view: DataView;
  readonly #base: number;
  available = 0;
  seen = 0;

  constructor(view: DataView, index: number) {
    this.#view = view;
    this.#base = index * RING_SPAN;
  }

  get desc(): number {
    return this.#base;
  }
  get avail(): number {
    return this.#base + 0x4000;
  }
  get used(): number {
    return this.#base + 0x6000;
  }

  describe(index: number, { address, length, flags, next }: Descriptor): void {
    const at = this.desc + 16 * index;
    this.#view.setBigUint64(at, BigInt(address), true);
    this.#view.setUint32(at + 8, length, true);
    this.#view.setUint16(at + 12, flags, true);
    this.#view.setUint16(at + 14, next, true);
  }

  offer(head: number): void {
    this.#view.setUint16(this.avail + 4 + 2 * (this.available % RING_SIZE), head, true);
    this.available = (this.available + 1) & 0xffff;
    this.publish(this.available);
  }

  /** Sets the index the device sees, to anything. */
  publish(index: number): void {
    this.#view.setUint16(this.avail + 2, index & 0xffff, true);
  }

  /** Kicks unless the device has said that it needs none. */
  notify(always = false): void {
    if (always || (this.#view.getUint16(this.used, true) & 1) === 0) signalEvent(this.kick);
  }

  get usedIndex(): number {
    return this.#view.getUint16(this.used + 2, true);
  }

  /** Buffers that have come back: head and bytes written. */
  *taken(): Generator<{ head: number; length: number }> {
    while (this.seen !== this.usedIndex) {
      const at = this.used + 4 + 8 * (this.seen % RING_SIZE);
      this.seen = (this.seen + 1) & 0xffff;
      yield { head: this.#view.getUint32(at, true), length: this.#view.getUint32(at + 4, true) };
    }
  }

  clear(): void {
    for (let at = this.#base; at < this.#base + RING_SPAN; at += 4)
      this.#view.setUint32(at, 0, true);
    this.available = 0;
    this.seen = 0;
  }

  close(): void {
    this.kick.close();
    this.call.close();
  }
}

/** Guest-physical address of an offset in the file. */
export function guestAddress(offset: number): number {
  return offset < SPLIT ? GPA[0] + offset : GPA[1] + offset - SPLIT;
}

function userAddress(offset: number): bigint {
  return BigInt(offset < SPLIT ? UVA[0] + offset : UVA[1] + offset - SPLIT);
}

/** A machine with a vsock driver: memory, rings and packets in both directions. */
export class Machine implements Disposable {
  readonly front: FrontEnd;
  readonly cid: number;
  readonly memory: Fd;
  readonly #shared: SharedMemory;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly rx: DriverRing;
  readonly tx: DriverRing;
  readonly #polls: FdPoll[] = [];
  #free: number[] = [];
  readonly #outbox: Packet[] = [];
  /** Gets every packet of the device. */
  onPacket: (packet: Required<Packet>) => void = () => {};
  /** Receive buffers are given back to the device as they are used up. */
  refill = true;
  #held: number[] = [];

  private constructor(front: FrontEnd, cid: number) {
    this.front = front;
    this.cid = cid;
    this.memory = memoryFile(MEMORY);
    this.#shared = new SharedMemory(this.memory, 0, MEMORY);
    this.bytes = new Uint8Array(this.#shared.buffer);
    this.#view = new DataView(this.#shared.buffer);
    this.rx = new DriverRing(this.#view, RX);
    this.tx = new DriverRing(this.#view, TX);
    this.#polls.push(
      new FdPoll(this.rx.call.raw, { read: true }, () => {
        takeEvents(this.rx.call);
        this.#receive();
      }),
      new FdPoll(this.tx.call.raw, { read: true }, () => {
        takeEvents(this.tx.call);
        this.#reclaim();
      }),
    );
  }

  /** Connects and goes through what QEMU sends, up to a running driver. */
  static async start(socket: string, cid: number): Promise<Machine> {
    const machine = new Machine(await FrontEnd.connect(socket), cid);
    await machine.negotiate();
    await machine.startDriver();
    return machine;
  }

  async negotiate(): Promise<void> {
    const { front } = this;
    const features = (await front.ask(1)).readBigUInt64LE();
    const protocol = (await front.ask(15)).readBigUInt64LE();
    // VERSION_1 and protocol features; MQ, REPLY_ACK and CONFIG.
    if (features !== ((1n << 32n) | (1n << 30n))) throw new Error(`features ${features}`);
    if (protocol !== 0b10_0000_1001n) throw new Error(`protocol features ${protocol}`);
    front.send(16, u64(protocol));
    if ((await front.ask(17)).readBigUInt64LE() !== 2n) throw new Error('number of queues');
    front.send(3);
    for (const index of [RX, TX]) front.send(13, u64(BigInt(index)), [this.#ring(index).call]);
    const config = await front.ask(24, Buffer.concat([u32(0, 8, 0), u64(0n)]));
    if (config.readBigUInt64LE(12) !== BigInt(this.cid)) throw new Error('another CID');
  }

  #ring(index: number): DriverRing {
    return index === RX ? this.rx : this.tx;
  }

  /** A driver starts: fresh rings and receive buffers. */
  async startDriver(options: { receiveBuffers?: boolean } = {}): Promise<void> {
    this.rx.clear();
    this.tx.clear();
    this.#outbox.length = 0;
    this.#held = [];
    this.#free = Array.from({ length: SLOTS }, (_, slot) => slot);
    const { front } = this;
    front.send(2, u64((1n << 32n) | (1n << 30n)));
    await front.tell(5, memoryTable(), [this.memory, this.memory]);
    for (const index of [RX, TX]) {
      const ring = this.#ring(index);
      front.send(8, u32(index, RING_SIZE));
      front.send(10, u32(index, 0));
      const places = [ring.desc, ring.used, ring.avail].map(userAddress);
      await front.tell(9, Buffer.concat([u32(index, 0), u64(...places, 0n)]));
      front.send(12, u64(BigInt(index)), [ring.kick]);
    }
    if (options.receiveBuffers !== false) this.giveReceiveBuffers();
    for (const index of [RX, TX]) await front.tell(18, u32(index, 1));
  }

  /** The driver goes (reboot). Returns the indices the device had got to. */
  async stopDriver(): Promise<number[]> {
    const bases: number[] = [];
    for (const index of [RX, TX])
      bases.push((await this.front.ask(11, u32(index, 0))).readUInt32LE(4));
    return bases;
  }

  giveReceiveBuffers(): void {
    for (let slot = 0; slot < SLOTS; slot++) this.#giveReceive(slot);
    this.rx.notify(true);
  }

  #giveReceive(slot: number): void {
    const at = guestAddress(RX_BUFFERS + slot * RX_SLOT);
    const head = 2 * slot;
    this.rx.describe(head, { address: at, length: 44, flags: NEXT | WRITE, next: head + 1 });
    this.rx.describe(head + 1, { address: at + 64, length: 4096, flags: WRITE, next: 0 });
    this.rx.offer(head);
  }

  /** Gives back what was kept while `refill` was off. */
  giveHeld(): void {
    for (const slot of this.#held.splice(0)) this.#giveReceive(slot);
    this.rx.notify();
  }

  #receive(): void {
    let given = false;
    for (const { head, length } of this.rx.taken()) {
      const slot = head / 2;
      const packet = this.#parse(RX_BUFFERS + slot * RX_SLOT, length);
      if (this.refill) {
        this.#giveReceive(slot);
        given = true;
      } else {
        this.#held.push(slot);
      }
      if (packet !== undefined) this.onPacket(packet);
    }
    if (given) this.rx.notify();
  }

  #parse(at: number, length: number): Required<Packet> | undefined {
    if (length < 44) return undefined;
    const view = new DataView(this.#view.buffer, at, 44);
    const len = view.getUint32(24, true);
    if (length !== 44 + len) throw new Error(`${length} bytes used for a packet with ${len}`);
    return {
      srcCid: view.getBigUint64(0, true),
      dstCid: view.getBigUint64(8, true),
      srcPort: view.getUint32(16, true),
      dstPort: view.getUint32(20, true),
      len,
      type: view.getUint16(28, true),
      op: view.getUint16(30, true),
      flags: view.getUint32(32, true),
      bufAlloc: view.getUint32(36, true),
      fwdCnt: view.getUint32(40, true),
      data: this.bytes.slice(at + 64, at + 64 + len),
    };
  }

  /** Queues a packet; it goes out as soon as a transmit buffer is free. */
  send(packet: Packet): void {
    this.#outbox.push(packet);
    this.#transmit();
  }

  #reclaim(): void {
    for (const { head } of this.tx.taken()) this.#free.push(head / 2);
    this.#transmit();
  }

  #transmit(): void {
    let sent = false;
    while (this.#outbox.length > 0) {
      const slot = this.#free.shift();
      if (slot === undefined) break;
      this.#write(slot, this.#outbox.shift() as Packet);
      sent = true;
    }
    if (sent) this.tx.notify();
  }

  #write(slot: number, packet: Packet): void {
    const at = TX_BUFFERS + slot * TX_SLOT;
    const data = packet.data ?? new Uint8Array();
    this.writeHeader(at, packet);
    this.bytes.set(data, at + 64);
    const head = 2 * slot;
    const more = data.length > 0 ? NEXT : 0;
    this.tx.describe(head, { address: guestAddress(at), length: 44, flags: more, next: head + 1 });
    const body = { address: guestAddress(at + 64), length: data.length, flags: 0, next: 0 };
    if (more !== 0) this.tx.describe(head + 1, body);
    this.tx.offer(head);
  }

  writeHeader(at: number, packet: Packet): void {
    const view = new DataView(this.#view.buffer, at, 44);
    view.setBigUint64(0, packet.srcCid ?? BigInt(this.cid), true);
    view.setBigUint64(8, packet.dstCid ?? 2n, true);
    view.setUint32(16, packet.srcPort, true);
    view.setUint32(20, packet.dstPort, true);
    view.setUint32(24, packet.len ?? packet.data?.length ?? 0, true);
    view.setUint16(28, packet.type ?? 1, true);
    view.setUint16(30, packet.op, true);
    view.setUint32(32, packet.flags ?? 0, true);
    view.setUint32(36, packet.bufAlloc ?? 262_144, true);
    view.setUint32(40, packet.fwdCnt ?? 0, true);
  }

  [Symbol.dispose](): void {
    for (const poll of this.#polls) poll.close();
    this.rx.close();
    this.tx.close();
    this.front[Symbol.dispose]();
    this.#shared.close();
    this.memory.close();
  }
}

export function memoryTable(): Buffer {
  const regions = [0, 1].flatMap((index) => [
    BigInt(GPA[index] ?? 0),
    BigInt(SPLIT),
    BigInt(UVA[index] ?? 0),
    BigInt(index * SPLIT),
  ]);
  return Buffer.concat([u32(2, 0), u64(...regions)]);
}
