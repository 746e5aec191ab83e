import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import type { ConnectOptions, FdListener } from '../os/socket.ts';
import {
  connectVsock,
  listenVsock,
  VMADDR_CID_ANY,
  VMADDR_CID_HOST,
  vsockPeerCid,
} from '../os/socket.ts';
import { FdConnection } from './connection.ts';
import { checkPort, failure, transportFailure } from './failure.ts';
import { PendingDials } from './pending-dials.ts';
import { SocketListener } from './socket-listener.ts';
import type { Connection, DialOptions, Listener, Port, Transport } from './transport.ts';

/** The system calls of the transport, so that its decisions can be tested without a device. */
export interface VsockSystem {
  connect(cid: number, port: Port, options: ConnectOptions): Promise<Fd>;
  listen(cid: number, port: Port): FdListener;
  peerCid(fd: Fd): number;
  /** Resolves after `milliseconds`; rejects with the signal's reason. */
  pause(milliseconds: number, signal: AbortSignal): Promise<void>;
}

export interface VsockOptions {
  /** Context ID of the machine at the other end; default the host, VMADDR_CID_HOST. */
  cid?: number;
  system?: Partial<VsockSystem>;
}

/** A host under load lets connects time out that succeed a moment later; hosts' own guests retry as often. */
const ATTEMPTS = 10;
const RETRY_MS = 100;

/**
 * AF_VSOCK, see vsock(7): dials the host and listens on any CID of this machine. Connections from
 * anywhere but the host are closed: the guest's own containers can reach its ports over loopback,
 * and other machines may be routed to them, but neither is the host.
 */
export class VsockTransport implements Transport {
  readonly name = 'vsock';
  readonly #cid: number;
  readonly #system: VsockSystem;
  readonly #dials = new PendingDials('vsock');
  readonly #listeners = new Set<Listener>();
  #closed = false;

  constructor(options: VsockOptions = {}) {
    this.#cid = options.cid ?? VMADDR_CID_HOST;
    this.#system = {
      connect: connectVsock,
      listen: listenVsock,
      peerCid: vsockPeerCid,
      pause,
      ...options.system,
    };
  }

  async dial(port: Port, options: DialOptions = {}): Promise<Connection> {
    checkPort({ transport: this.name, port, operation: 'dial' });
    return this.#dials.run(port, options, async (signal) => {
      const fd = await this.#connect(port, signal);
      return new FdConnection(fd, port, this.name);
    });
  }

  async listen(port: Port): Promise<Listener> {
    const place = { transport: this.name, port, operation: 'listen' };
    checkPort(place);
    if (this.#closed) throw failure('closed', place, 'the transport was closed');
    try {
      const sockets = this.#system.listen(VMADDR_CID_ANY, port);
      const forget = (closed: Listener) => this.#listeners.delete(closed);
      const admits = (fd: Fd) => this.#system.peerCid(fd) === this.#cid;
      const listener = new SocketListener(sockets, port, this.name, forget, admits);
      this.#listeners.add(listener);
      return listener;
    } catch (error) {
      throw transportFailure(error, place);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#dials.close();
    for (const listener of [...this.#listeners]) listener.close();
  }

  /** Only the kernel's own ETIMEDOUT is tried again; our deadline comes as the signal's reason. */
  async #connect(port: Port, signal: AbortSignal): Promise<Fd> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#system.connect(this.#cid, port, { signal });
      } catch (error) {
        signal.throwIfAborted();
        if (!hasCode(error, 'ETIMEDOUT') || attempt === ATTEMPTS) throw error;
      }
      await this.#system.pause(RETRY_MS, signal);
    }
  }
}

/** Rejects with the signal's own reason, where timers/promises would give an AbortError around it. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(milliseconds, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
