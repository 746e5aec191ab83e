import type { Fd } from '../os/fd.ts';
import { FdConnection } from './connection.ts';
import { failure } from './failure.ts';
import type { Connection, Listener, Port, TransportError } from './transport.ts';

interface Waiter {
  resolve(connection: Connection): void;
  reject(error: unknown): void;
}

/** A port that shares its socket with others: somebody else accepts and offers what is for it. */
export class AcceptQueue implements Listener {
  readonly port: Port;
  readonly #transport: string;
  readonly #backlog: number;
  readonly #onClose: () => void;
  readonly #waiters = new Set<Waiter>();
  readonly #queued: Fd[] = [];
  #closedBy: TransportError | undefined;

  constructor(port: Port, transport: string, backlog: number, onClose: () => void) {
    this.port = port;
    this.#transport = transport;
    this.#backlog = backlog;
    this.#onClose = onClose;
  }

  /** True when offer() would take a connection now. */
  get ready(): boolean {
    return this.#closedBy === undefined && this.#queued.length < this.#backlog;
  }

  /** Takes ownership of a connection for this port. Call only while `ready`. */
  offer(fd: Fd): void {
    const [waiter] = this.#waiters;
    if (waiter === undefined) {
      this.#queued.push(fd);
      return;
    }
    this.#waiters.delete(waiter);
    waiter.resolve(new FdConnection(fd, this.port, this.#transport));
  }

  async accept(options: { signal?: AbortSignal } = {}): Promise<Connection> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#closedBy !== undefined) throw this.#closedBy;
    const fd = this.#queued.shift();
    if (fd !== undefined) return new FdConnection(fd, this.port, this.#transport);
    const { promise, resolve, reject } = Promise.withResolvers<Connection>();
    const waiter: Waiter = { resolve, reject };
    const onAbort = () => {
      // An offer that came first has taken the waiter out and wins.
      if (this.#waiters.delete(waiter)) reject(signal?.reason);
    };
    this.#waiters.add(waiter);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Rejects who waits, with `reason` when the shared socket failed; drops what nobody accepted. */
  close(reason?: TransportError): void {
    if (this.#closedBy !== undefined) return;
    const place = { transport: this.#transport, port: this.port, operation: 'accept' };
    this.#closedBy = reason ?? failure('closed', place, 'the listener was closed');
    for (const waiter of this.#waiters) waiter.reject(this.#closedBy);
    this.#waiters.clear();
    for (const fd of this.#queued.splice(0)) fd.close();
    this.#onClose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
