import type { EdgePoll } from '../../../os/edge-poll.ts';
import type { Fd } from '../../../os/fd.ts';
import type { Budget } from './byte-queue.ts';
import { Credit } from './credit.ts';
import { HostSocket } from './host-socket.ts';
import { op, SHUTDOWN_BOTH, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, totalLength } from './packet.ts';

/** The two ports that name a connection. */
export interface PortPair {
  readonly guestPort: number;
  readonly hostPort: number;
}

export type ConnectionState =
  /** The guest asked; the host's socket is being connected to. */
  | 'dialing'
  /** A host asked; the guest has not answered. */
  | 'requested'
  | 'open';

/** What a connection needs of the device. */
export interface ConnectionEnvironment {
  readonly poll: EdgePoll;
  readonly budget: Budget;
  readonly bufferBytes: number;
  /** This connection has something for the guest. */
  onPending(connection: Connection): void;
  /** Both directions are over on the host's side: the guest has to confirm. */
  onClosing(connection: Connection): void;
  /** The host's socket is closed. */
  onFinished(connection: Connection): void;
}

/** What next() put into a packet. */
export interface Outgoing {
  op: number;
  flags: number;
  length: number;
}

/**
 * One connection between a port of the guest and a unix socket of the host. It owes packets to the
 * guest, which the device asks for when the guest has receive buffers: each kind at most once, so
 * that nothing piles up for a guest that takes nothing.
 */
export class Connection {
  readonly ports: PortPair;
  readonly credit: Credit;
  state: ConnectionState;
  /** For the limit on the current step: the guest's answer, its confirmation. */
  timer: NodeJS.Timeout | undefined;
  readonly #environment: ConnectionEnvironment;
  /** Operations owed to the guest, in the order they are sent. */
  readonly #owed = new Set<number>();
  #asking: Fd | undefined;
  #socket: HostSocket | undefined;
  /** Directions the guest has ended, and those it was or will be told that the host ended. */
  #guestEnded = 0;
  #hostEnded = 0;
  #readable = false;
  #endOfInput = false;
  #askedForCredit = false;
  #released = false;

  /** `asking`: the socket of a host that asked for it, which waits for the guest's answer. */
  constructor(
    ports: PortPair,
    state: 'dialing' | 'requested',
    environment: ConnectionEnvironment,
    asking?: Fd,
  ) {
    this.ports = ports;
    this.#asking = asking;
    this.state = state;
    this.#environment = environment;
    this.credit = new Credit(environment.bufferBytes);
    if (state === 'requested') this.#owe(op.request);
  }

  #owe(operation: number): void {
    if (this.#released) return;
    this.#owed.add(operation);
    this.#environment.onPending(this);
  }

  /** Gives away the socket of a host that asked and got no answer yet. */
  takeAsking(): Fd | undefined {
    const fd = this.#asking;
    this.#asking = undefined;
    return fd;
  }

  /** The connection stands; owns `fd` from now on. `confirm`: the guest waits for an answer. */
  open(fd: Fd, confirm: boolean): void {
    const environment = this.#environment;
    this.#socket = new HostSocket(fd, environment.poll, environment.budget, {
      onReadable: () => {
        this.#readable = true;
        if (!this.#released) environment.onPending(this);
      },
      onForwarded: (bytes) => this.#forwarded(bytes),
      onDeaf: () => this.#endHost(SHUTDOWN_RECEIVE),
      // What the host sent before it left comes first; the end is seen when it has been read.
      onHangup: () => {
        if (this.#endOfInput) this.#endHost(SHUTDOWN_BOTH);
      },
      onFinished: () => environment.onFinished(this),
    });
    this.state = 'open';
    if (confirm) this.#owe(op.response);
  }

  /** Whether next() would have something to send. */
  get pending(): boolean {
    return this.#owed.size > 0 || this.#mayRead;
  }

  get #mayRead(): boolean {
    if (!this.#readable || this.#endOfInput || this.state !== 'open') return false;
    return this.credit.room > 0 || !this.#askedForCredit;
  }

  /** buf_alloc and fwd_cnt of any packet of the guest. */
  heard(allocation: number, forwarded: number): void {
    this.credit.heard(allocation, forwarded);
    if (this.credit.room > 0) this.#askedForCredit = false;
    this.announceIfDue();
    if (this.pending) this.#environment.onPending(this);
  }

  #forwarded(bytes: number): void {
    this.credit.forwarded(bytes);
    this.announceIfDue();
  }

  announceIfDue(): void {
    if (this.credit.announcementDue) this.#owe(op.creditUpdate);
  }

  /** The guest asks how much room there is. */
  creditRequested(): void {
    this.#owe(op.creditUpdate);
  }

  /** Data of the guest. Returns what is wrong with it, undefined when nothing is. */
  receive(pieces: readonly Uint8Array[]): string | undefined {
    const length = totalLength(pieces);
    if (this.state !== 'open') return 'data before the connection stands';
    if ((this.#guestEnded & SHUTDOWN_SEND) !== 0) return 'data after the end of its direction';
    if (!this.credit.received(length)) return 'more data than it was allowed to send';
    const done = this.#socket?.write(pieces) ?? 0;
    if (done === 'full') return 'no memory is left for data the host does not read';
    if (done > 0) this.#forwarded(done);
    return undefined;
  }

  /** A shutdown of the guest. Returns true when both directions are over. */
  guestEnds(flags: number): boolean {
    const news = flags & ~this.#guestEnded;
    this.#guestEnded |= flags & SHUTDOWN_BOTH;
    if (this.#guestEnded === SHUTDOWN_BOTH) return true;
    if ((news & SHUTDOWN_SEND) !== 0) this.#socket?.end();
    if ((news & SHUTDOWN_RECEIVE) !== 0) {
      this.#endOfInput = true;
      this.#socket?.stopReading();
    }
    return false;
  }

  #endHost(flags: number): void {
    const before = this.#hostEnded;
    this.#hostEnded |= flags;
    if (this.#released || this.#hostEnded === before) return;
    this.#owe(op.shutdown);
    if (this.#hostEnded === SHUTDOWN_BOTH) this.#environment.onClosing(this);
  }

  /**
   * The next packet for the guest; its payload, if it has one, is read from the host right into
   * `room`. Undefined when there is nothing to send after all.
   */
  next(room: readonly Uint8Array[]): Outgoing | undefined {
    const [operation] = this.#owed;
    if (operation !== undefined) {
      this.#owed.delete(operation);
      const flags = operation === op.shutdown ? this.#hostEnded : 0;
      return { op: operation, flags, length: 0 };
    }
    if (!this.#mayRead) return undefined;
    if (this.credit.room === 0) {
      // Once: a guest that has no room says so when it has.
      this.#askedForCredit = true;
      return { op: op.creditRequest, flags: 0, length: 0 };
    }
    return this.#read(room);
  }

  #read(room: readonly Uint8Array[]): Outgoing | undefined {
    let length = 0;
    for (const piece of room) {
      const into = piece.subarray(0, this.credit.room - length);
      if (into.length === 0) break;
      const moved = this.#socket?.read(into) ?? 'gone';
      if (moved === 'again') {
        this.#readable = false;
        break;
      }
      if (moved === 'gone' || moved === 0) {
        this.#endInput(moved === 'gone');
        break;
      }
      length += moved;
      if (moved < into.length) break;
    }
    if (length > 0) {
      this.credit.sent(length);
      return { op: op.data, flags: 0, length };
    }
    return this.#owed.size > 0 ? this.next(room) : undefined;
  }

  #endInput(gone: boolean): void {
    this.#endOfInput = true;
    this.#endHost(gone || this.#socket?.hungUp === true ? SHUTDOWN_BOTH : SHUTDOWN_SEND);
  }

  /** The device has forgotten this connection: the host gets what is still on the way and then the end. */
  release(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.#released = true;
    this.#owed.clear();
    this.#endOfInput = true;
    if (this.#socket === undefined) this.#environment.onFinished(this);
    else this.#socket.finish();
  }

  /** Closes the host's socket now. */
  destroy(): void {
    clearTimeout(this.timer);
    this.#released = true;
    this.#socket?.destroy();
  }
}
