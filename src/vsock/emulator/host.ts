import { connectUnix, listenUnix } from '../../os/socket.ts';
import { requestConnect } from '../connect-handshake.ts';
import { FdConnection } from '../connection.ts';
import { checkPort, failure, transportFailure } from '../failure.ts';
import { PendingDials } from '../pending-dials.ts';
import { SocketListener } from '../socket-listener.ts';
import type { Connection, DialOptions, Listener, Port, Transport } from '../transport.ts';

/**
 * The host's end of hybrid:PATH. listen(port) accepts what the guest dials (unix socket PATH_port,
 * made before it returns, removed on close); dial(port) reaches a port the guest listens on
 * (unix socket PATH, "CONNECT port\n", "OK n\n").
 */
export class EmulatedHost implements Transport {
  readonly name: string;
  readonly #path: string;
  readonly #dials: PendingDials;
  readonly #listeners = new Set<Listener>();
  #closed = false;

  constructor(path: string) {
    this.name = `hybrid:${path} (host)`;
    this.#path = path;
    this.#dials = new PendingDials(this.name);
  }

  /** Rejects with 'refused' when no guest serves PATH or none of it listens on the port. */
  async dial(port: Port, options: DialOptions = {}): Promise<Connection> {
    const place = { transport: this.name, port, operation: 'dial' };
    checkPort(place);
    return this.#dials.run(port, options, async (signal) => {
      const fd = await connectUnix(this.#path, { signal });
      try {
        await requestConnect(fd, place, signal);
      } catch (error) {
        fd.close();
        throw error;
      }
      return new FdConnection(fd, port, this.name);
    });
  }

  async listen(port: Port): Promise<Listener> {
    const place = { transport: this.name, port, operation: 'listen' };
    checkPort(place);
    if (this.#closed) throw failure('closed', place, 'the transport was closed');
    try {
      const sockets = listenUnix(`${this.#path}_${port}`);
      const forget = (closed: Listener) => this.#listeners.delete(closed);
      const listener = new SocketListener(sockets, port, this.name, forget);
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
}
