import type { Machine, Packet } from './virtio-driver.ts';

export const OP = {
  request: 1,
  response: 2,
  rst: 3,
  shutdown: 4,
  rw: 5,
  update: 6,
  ask: 7,
} as const;
type Received = Required<Packet>;

/** What Linux gives a socket, and the most it has on the way whatever the peer offers (6.1). */
const OWN_BUFFER = 262_144;
const MAX_PAYLOAD = 65_536;

/** One connection of the guest, with the flow control of Linux 6.1. */
export class GuestConnection {
  readonly guest: Guest;
  readonly guestPort: number;
  readonly hostPort: number;
  readonly #parts: Buffer[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly packets: Received[] = [];
  bufAlloc = OWN_BUFFER;
  /** When off, credit is never given back. */
  reading = true;
  established = false;
  reset = false;
  /** Flags of the device's shutdowns. */
  ended = 0;
  #sent = 0;
  #peerAlloc = 0;
  #peerForwarded = 0;
  #received = 0;
  #forwarded = 0;
  #announced = 0;

  constructor(guest: Guest, guestPort: number, hostPort: number) {
    this.guest = guest;
    this.guestPort = guestPort;
    this.hostPort = hostPort;
  }

  packet(op: number, more: Partial<Packet> = {}): void {
    this.#announced = this.#forwarded;
    const { guestPort: srcPort, hostPort: dstPort, bufAlloc } = this;
    const fwdCnt = this.#forwarded;
    this.guest.machine.send({ srcPort, dstPort, op, bufAlloc, fwdCnt, ...more });
  }

  handle(packet: Received): void {
    this.packets.push(packet);
    this.#peerAlloc = packet.bufAlloc;
    this.#peerForwarded = packet.fwdCnt;
    if (packet.op === OP.response) this.established = true;
    if (packet.op === OP.rst) {
      this.reset = true;
      this.guest.forget(this);
    }
    if (packet.op === OP.shutdown) this.ended |= packet.flags;
    if (packet.op === OP.ask) this.packet(OP.update);
    if (packet.op === OP.rw) this.#take(Buffer.from(packet.data));
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #take(data: Buffer): void {
    this.#parts.push(data);
    this.#received = (this.#received + data.length) >>> 0;
    if ((this.#received - this.#forwarded) >>> 0 > this.bufAlloc)
      throw new Error('the device sent more than the guest has room for');
    if (!this.reading) return;
    this.consume(data.length);
  }

  /** The application has read: Linux tells when less than 64 KiB are left by what the peer knows. */
  consume(bytes: number): void {
    this.#forwarded = (this.#forwarded + bytes) >>> 0;
    const known = this.bufAlloc - ((this.#forwarded - this.#announced) >>> 0);
    if (known < MAX_PAYLOAD) this.packet(OP.update);
  }

  get data(): Buffer {
    return Buffer.concat(this.#parts);
  }

  get receivedBytes(): number {
    return this.#received;
  }

  /** Resolves once a packet has made it true. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  get room(): number {
    const limit = Math.min(this.#peerAlloc, this.bufAlloc);
    return Math.max(0, limit - ((this.#sent - this.#peerForwarded) >>> 0));
  }

  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; ) {
      await this.until(() => this.room > 0 || this.reset);
      if (this.reset) throw new Error('connection reset');
      const part = data.subarray(at, at + Math.min(this.room, MAX_PAYLOAD));
      this.#sent = (this.#sent + part.length) >>> 0;
      at += part.length;
      this.packet(OP.rw, { data: part });
    }
  }

  /** 1: reads no more, 2: writes no more, 3: closed. */
  shutdown(flags: number): void {
    this.packet(OP.shutdown, { flags });
  }
}

/** The sockets of a guest over a machine's driver. */
export class Guest {
  readonly machine: Machine;
  readonly #connections = new Map<string, GuestConnection>();
  readonly #listening = new Map<number, (connection: GuestConnection) => void>();
  /** Packets of no connection. */
  readonly stray: Received[] = [];
  readonly #waiting: (() => void)[] = [];
  #nextPort = 50_000;

  constructor(machine: Machine) {
    this.machine = machine;
    machine.onPacket = (packet) => this.#dispatch(packet);
  }

  listen(port: number, onConnection: (connection: GuestConnection) => void): void {
    this.#listening.set(port, onConnection);
  }

  dial(hostPort: number): GuestConnection {
    const connection = new GuestConnection(this, this.#nextPort++, hostPort);
    this.#connections.set(`${connection.guestPort}:${hostPort}`, connection);
    connection.packet(OP.request);
    return connection;
  }

  async connect(hostPort: number): Promise<GuestConnection> {
    const connection = this.dial(hostPort);
    await connection.until(() => connection.established || connection.reset);
    if (connection.reset) throw new Error('refused');
    return connection;
  }

  forget(connection: GuestConnection): void {
    this.#connections.delete(`${connection.guestPort}:${connection.hostPort}`);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #dispatch(packet: Received): void {
    if (packet.srcCid !== 2n || packet.dstCid !== BigInt(this.machine.cid) || packet.type !== 1)
      this.stray.push(packet);
    else this.#deliver(packet);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #deliver(packet: Received): void {
    const key = `${packet.dstPort}:${packet.srcPort}`;
    const connection = this.#connections.get(key);
    const onConnection = this.#listening.get(packet.dstPort);
    if (connection !== undefined) {
      connection.handle(packet);
    } else if (packet.op === OP.request && onConnection !== undefined) {
      const accepted = new GuestConnection(this, packet.dstPort, packet.srcPort);
      this.#connections.set(key, accepted);
      accepted.handle(packet);
      accepted.packet(OP.response);
      onConnection(accepted);
    } else {
      this.stray.push(packet);
      const ports = { srcPort: packet.dstPort, dstPort: packet.srcPort };
      if (packet.op !== OP.rst) this.machine.send({ ...ports, op: OP.rst });
    }
  }
}
