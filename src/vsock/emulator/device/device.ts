import type { Logger } from '../../../log/logger.ts';
import { EdgePoll } from '../../../os/edge-poll.ts';
import type { Fd } from '../../../os/fd.ts';
import { connectUnix } from '../../../os/socket.ts';
import { writeOk } from '../../connect-handshake.ts';
import type { Door } from '../../connect-server.ts';
import { isPort } from '../../failure.ts';
import { Budget } from './byte-queue.ts';
import { Complaints } from './complaints.ts';
import {
  Connection,
  type ConnectionEnvironment,
  type Outgoing,
  type PortPair,
} from './connection.ts';
import { Connections } from './connections.ts';
import { closeQuietly } from './host-socket.ts';
import type { DeviceLimits } from './limits.ts';
import { type Header, HOST_CID, op, TYPE_STREAM } from './packet.ts';
import { Resets } from './resets.ts';

export interface DeviceOptions {
  /** PATH of the hybrid convention: the guest's dials go to PATH_port. */
  path: string;
  /** The guest's context identifier. */
  cid: number;
  limits: DeviceLimits;
  log: Logger;
  /** There is something for the guest, where there was nothing. */
  onPending(): void;
}

/** A packet to the guest, all but its payload. */
export interface OutgoingPacket extends Outgoing {
  ports: PortPair;
  type: number;
  forwarded: number;
}

/**
 * The vsock device (virtio 1.2, 5.10) between a guest and the hybrid convention: connections, their
 * beginning and their end. It knows nothing of rings: packets of the guest come by receive(), those
 * for it are fetched by next() when there is a buffer for one.
 */
export class VsockDevice implements Disposable {
  readonly #options: DeviceOptions;
  readonly #complaints: Complaints;
  readonly #poll = new EdgePoll();
  readonly #environment: ConnectionEnvironment;
  readonly #connections: Connections;
  readonly #budget: Budget;
  /** Connections that have something for the guest, served in turn. */
  readonly #pending = new Set<Connection>();
  readonly #resets: Resets;
  readonly #closing = new AbortController();
  /** A driver serves the rings. */
  #running = false;
  #turn = 0;

  constructor(options: DeviceOptions) {
    this.#options = options;
    const { limits, log } = options;
    this.#complaints = new Complaints(log);
    this.#connections = new Connections(limits.connections);
    this.#budget = new Budget(limits.totalBufferBytes);
    this.#resets = new Resets(limits.pendingResets);
    this.#environment = {
      poll: this.#poll,
      budget: this.#budget,
      bufferBytes: limits.bufferBytes,
      onPending: (connection) => this.#makePending(connection),
      onClosing: (connection) => this.#limit(connection, limits.guestCloseMs),
      onFinished: (connection) => this.#connections.finished(connection),
    };
  }

  /** For logs and tests. */
  get figures() {
    return {
      connections: this.#connections.size,
      draining: this.#connections.draining,
      bufferedBytes: this.#budget.used,
      pendingResets: this.#resets.count,
    };
  }

  /** A driver has set up its rings; connections may be made from now on. */
  start(): void {
    this.#running = true;
  }

  /** The driver has gone (reboot, end of the machine): every connection is over. */
  reset(): void {
    this.#running = false;
    this.#resets.clear();
    for (const connection of this.#connections.current()) this.#release(connection);
    this.#pending.clear();
  }

  [Symbol.dispose](): void {
    this.reset();
    this.#closing.abort(new Error('the device was closed'));
    for (const connection of this.#connections.all()) connection.destroy();
    this.#poll.close();
  }

  /** Where a host's "CONNECT port" goes; undefined when no guest can answer. */
  door(guestPort: number): Door | undefined {
    if (!this.#running) return undefined;
    return {
      ready: !this.#connections.full,
      confirms: true,
      offer: (fd) => this.#request(guestPort, fd),
    };
  }

  #makePending(connection: Connection): void {
    if (!this.#connections.has(connection)) return;
    const wasIdle = !this.hasPending;
    this.#pending.add(connection);
    if (wasIdle) this.#options.onPending();
  }

  #limit(connection: Connection, milliseconds: number): void {
    clearTimeout(connection.timer);
    connection.timer = setTimeout(() => this.#reset(connection), milliseconds);
  }

  // Beginning of connections

  #request(guestPort: number, fd: Fd): void {
    const ports = { guestPort, hostPort: this.#connections.sourcePort(guestPort) };
    const connection = new Connection(ports, 'requested', this.#environment, fd);
    this.#add(connection);
    this.#limit(connection, this.#options.limits.guestAnswerMs);
  }

  #add(connection: Connection): void {
    this.#connections.add(connection);
    if (connection.pending) this.#makePending(connection);
  }

  #answered(connection: Connection): void {
    clearTimeout(connection.timer);
    const fd = connection.takeAsking();
    if (fd === undefined) return;
    try {
      writeOk(fd, connection.ports.hostPort);
    } catch (error) {
      this.#options.log.debug('a host left before the guest answered', { error });
      fd.close();
      this.#reset(connection);
      return;
    }
    this.#open(connection, fd, false);
  }

  #open(connection: Connection, fd: Fd, confirm: boolean): void {
    try {
      connection.open(fd, confirm);
    } catch (error) {
      this.#complaints.note('a connection cannot be watched', { error });
      this.#reset(connection);
    }
  }

  #accept(ports: PortPair, { bufferAllocation, forwarded }: Header): void {
    if (this.#connections.full || !isPort(ports.hostPort)) {
      this.#complaints.note('connection requests refused: too many connections', { ...ports });
      this.#pushReset(ports, TYPE_STREAM);
      return;
    }
    const connection = new Connection(ports, 'dialing', this.#environment);
    connection.credit.heard(bufferAllocation, forwarded);
    this.#add(connection);
    void this.#dial(connection);
  }

  async #dial(connection: Connection): Promise<void> {
    const { path, limits, log } = this.#options;
    const { ports } = connection;
    try {
      const { signal } = this.#closing;
      const timeoutMs = limits.hostConnectMs;
      const fd = await connectUnix(`${path}_${ports.hostPort}`, { signal, timeoutMs });
      // The guest may have left meanwhile, and even be back under the same ports.
      if (this.#connections.has(connection)) this.#open(connection, fd, true);
      else fd.close();
    } catch (error) {
      log.debug('no host listens', { ...ports, error });
      if (this.#connections.has(connection)) this.#reset(connection);
    }
  }

  // End of connections

  #release(connection: Connection): void {
    this.#pending.delete(connection);
    this.#connections.retire(connection);
    const asking = connection.takeAsking();
    if (asking !== undefined) closeQuietly(asking);
    connection.release();
  }

  /** Ends a connection and tells the guest so. */
  #reset(connection: Connection): void {
    this.#release(connection);
    this.#pushReset(connection.ports, TYPE_STREAM);
  }

  #pushReset({ guestPort, hostPort }: PortPair, type: number): void {
    const wasIdle = !this.hasPending;
    if (!this.#resets.push({ guestPort, hostPort, type }))
      this.#complaints.note('resets dropped: the guest takes none');
    else if (wasIdle) this.#options.onPending();
  }

  // Packets of the guest

  /** One packet; `payload` is what of its data was in the buffer. */
  receive(header: Header, payload: readonly Uint8Array[], complete: boolean): void {
    const { sourcePort: guestPort, destinationPort: hostPort, type } = header;
    const ports = { guestPort, hostPort };
    if (header.sourceCid !== this.#options.cid || header.destinationCid !== HOST_CID) {
      const cids = { source: header.sourceCid, destination: header.destinationCid };
      this.#complaints.note('packets with wrong CIDs ignored', cids);
      return;
    }
    const connection = this.#connections.find(ports);
    if (type !== TYPE_STREAM) {
      this.#complaints.note('packets that are not of a stream refused', { ...ports, type });
      if (header.op !== op.reset) this.#pushReset(ports, type);
      return;
    }
    if (connection !== undefined) this.#receiveOn(connection, header, payload, complete);
    else if (header.op === op.request) this.#accept(ports, header);
    // Never a reset for a reset, or two devices would play ball for ever.
    else if (header.op !== op.reset) this.#pushReset(ports, TYPE_STREAM);
  }

  #receiveOn(
    connection: Connection,
    header: Header,
    payload: readonly Uint8Array[],
    complete: boolean,
  ): void {
    connection.heard(header.bufferAllocation, header.forwarded);
    switch (header.op) {
      case op.response:
        if (connection.state === 'requested') this.#answered(connection);
        else this.#violated(connection, 'an answer that nobody asked for');
        return;
      case op.reset:
        this.#release(connection);
        return;
      case op.shutdown:
        if (connection.state !== 'open') this.#violated(connection, 'an end without a beginning');
        else if (connection.guestEnds(header.flags)) this.#reset(connection);
        return;
      case op.data: {
        const wrong = complete ? connection.receive(payload) : 'less data than its header says';
        if (wrong !== undefined) this.#violated(connection, wrong);
        return;
      }
      case op.creditUpdate:
        return;
      case op.creditRequest:
        connection.creditRequested();
        return;
      case op.request:
        this.#violated(connection, 'a second request');
        return;
      default:
        this.#violated(connection, 'an unknown operation');
    }
  }

  #violated(connection: Connection, what: string): void {
    this.#complaints.note(`connections reset: ${what}`, { ...connection.ports });
    this.#reset(connection);
  }

  /** A buffer that holds no packet. */
  ignored(what: string): void {
    this.#complaints.note(what);
  }

  // Packets for the guest

  get hasPending(): boolean {
    return this.#resets.count > 0 || this.#pending.size > 0;
  }

  /** The next packet for the guest, its payload written into `room`; undefined when there is none. */
  next(room: readonly Uint8Array[]): OutgoingPacket | undefined {
    const reset = this.#resets.next();
    if (reset !== undefined)
      return { op: op.reset, flags: 0, length: 0, ports: reset, type: reset.type, forwarded: 0 };
    for (const connection of this.#pending) {
      const outgoing = connection.next(room);
      this.#rotate(connection);
      if (outgoing === undefined) continue;
      const { ports, credit } = connection;
      return { ...outgoing, ports, type: TYPE_STREAM, forwarded: credit.announce() };
    }
    return undefined;
  }

  /** After some packets in a row it is the next connection's turn. */
  #rotate(connection: Connection): void {
    this.#turn += 1;
    const idle = !connection.pending;
    if (!idle && this.#turn < this.#options.limits.connectionPackets) return;
    this.#turn = 0;
    this.#pending.delete(connection);
    if (!idle) this.#pending.add(connection);
  }
}
