import { hasCode } from '../os/errors.ts';
import type { FdListener } from '../os/socket.ts';
import { FdConnection } from './connection.ts';
import { failure, transportFailure } from './failure.ts';
import type { Connection, Listener, Port } from './transport.ts';

/** A port that has a listening socket of its own: AF_VSOCK, or PATH_port on the emulated host. */
export class SocketListener implements Listener {
  readonly port: Port;
  readonly #transport: string;
  readonly #sockets: FdListener;
  readonly #onClose: (listener: SocketListener) => void;
  #closed = false;

  /** Owns `sockets` from now on. */
  constructor(
    sockets: FdListener,
    port: Port,
    transport: string,
    onClose: (listener: SocketListener) => void,
  ) {
    this.#sockets = sockets;
    this.port = port;
    this.#transport = transport;
    this.#onClose = onClose;
  }

  async accept(options: { signal?: AbortSignal } = {}): Promise<Connection> {
    const place = { transport: this.#transport, port: this.port, operation: 'accept' };
    for (;;) {
      if (this.#closed) throw failure('closed', place, 'the listener was closed');
      try {
        const fd = await this.#sockets.accept(options);
        return new FdConnection(fd, this.port, this.#transport);
      } catch (error) {
        // The peer went away while it was still queued, see accept(2); the next one may be there.
        if (hasCode(error, 'ECONNABORTED')) continue;
        throw transportFailure(error, place);
      }
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sockets.close();
    this.#onClose(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}
