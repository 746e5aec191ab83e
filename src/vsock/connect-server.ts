import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import type { FdListener } from '../os/socket.ts';
import { readConnect, writeOk } from './connect-handshake.ts';
import { errnoNameOf, failure, transportFailure } from './failure.ts';
import { FIRST_STDIO_PORT } from './ports.ts';
import type { Port, TransportError } from './transport.ts';

/** Bounds on peers that have connected but not said what they want. */
export interface HandshakeLimits {
  /** Milliseconds until a peer that has not sent its line is dropped. */
  deadlineMs: number;
  /** Peers without a line at one time; one more drops the one that has waited longest. */
  pending: number;
}

/** Where a peer that has named its port goes. */
export interface Door {
  /** True when offer() would take a connection now. */
  readonly ready: boolean;
  /** The peer is answered "OK" by who takes the connection, once there is somebody at its other end. */
  readonly confirms?: boolean;
  /** Takes ownership of the connection. */
  offer(fd: Fd): void;
}

export interface ConnectServerOptions {
  transport: string;
  /** Owned by the server from now on. */
  sockets: FdListener;
  /** The door of a port that somebody listens on. */
  route: (port: Port) => Door | undefined;
  limits: HandshakeLimits;
  /** A peer was dropped; for logs. */
  onDropped: (reason: Error) => void;
  /** The listening socket failed and the server has ended. */
  onFailure: (reason: TransportError) => void;
}

/** Milliseconds between attempts while the process has no descriptor left: accept(2) has no event for "there is one again". */
const EXHAUSTED_RETRY_MS = 50;
const EXHAUSTED = ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'];

/**
 * The socket of hybrid:PATH that all ports of a guest share. Every peer is served on its own: one
 * that is silent, slow or wrong is dropped and delays nobody.
 */
export class ConnectServer implements Disposable {
  readonly #options: ConnectServerOptions;
  readonly #handshakes = new Set<AbortController>();
  readonly #closing = new AbortController();
  /** Counts like Firecracker's source ports, which peers may log but cannot use. */
  #source: Port = FIRST_STDIO_PORT - 1;

  constructor(options: ConnectServerOptions) {
    this.#options = options;
    void this.#acceptAll();
  }

  close(): void {
    this.#closing.abort(this.#failure('closed', 'the listener was closed'));
    this.#options.sockets.close();
    for (const handshake of this.#handshakes) handshake.abort(this.#closing.signal.reason);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #acceptAll(): Promise<void> {
    const { sockets, transport, onFailure } = this.#options;
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        const fd = await sockets.accept();
        void this.#welcome(fd);
      } catch (error) {
        if (signal.aborted) return;
        if (await this.#survives(error)) continue;
        this.close();
        onFailure(transportFailure(error, { transport, operation: 'accept' }) as TransportError);
        return;
      }
    }
  }

  /** Whether accepting may go on after `error`, once it is time to. */
  async #survives(error: unknown): Promise<boolean> {
    if (hasCode(error, 'ECONNABORTED')) return true;
    if (!EXHAUSTED.includes(errnoNameOf(error) ?? '')) return false;
    // Peers that have said nothing must not keep out those that would.
    const dropped = this.#dropOldest('the agent is out of descriptors');
    const wait = delay(dropped ? 0 : EXHAUSTED_RETRY_MS, undefined, {
      signal: this.#closing.signal,
    });
    return wait.then(
      () => true,
      () => true, // Closed meanwhile: the loop's own condition ends it.
    );
  }

  async #welcome(fd: Fd): Promise<void> {
    const { limits, onDropped, route, transport } = this.#options;
    const place = { transport, operation: 'accept' };
    if (this.#handshakes.size >= limits.pending)
      this.#dropOldest(`more than ${limits.pending} peers without a CONNECT line`);
    const handshake = new AbortController();
    const tooLate = failure('timeout', place, `no CONNECT line within ${limits.deadlineMs} ms`);
    const timer = setTimeout(() => handshake.abort(tooLate), limits.deadlineMs);
    this.#handshakes.add(handshake);
    try {
      const port = await readConnect(fd, place, handshake.signal);
      handshake.signal.throwIfAborted();
      const door = route(port);
      if (door === undefined) throw failure('refused', { ...place, port }, 'nobody listens');
      if (!door.ready) throw failure('refused', { ...place, port }, 'its queue is full');
      if (door.confirms !== true) writeOk(fd, this.#nextSource());
      door.offer(fd);
    } catch (error) {
      fd.close();
      onDropped(transportFailure(error, place) as Error);
    } finally {
      clearTimeout(timer);
      this.#handshakes.delete(handshake);
    }
  }

  #dropOldest(reason: string): boolean {
    const [oldest] = this.#handshakes;
    if (oldest === undefined) return false;
    this.#handshakes.delete(oldest);
    oldest.abort(this.#failure('refused', reason));
    return true;
  }

  #nextSource(): Port {
    this.#source = this.#source === 0xfffffffe ? FIRST_STDIO_PORT - 1 : this.#source + 1;
    return this.#source;
  }

  #failure(code: 'closed' | 'refused', explanation: string): TransportError {
    return failure(code, { transport: this.#options.transport, operation: 'accept' }, explanation);
  }
}
