import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
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
  readonly #admits: (fd: Fd) => boolean;
  #closed = false;

  /** Owns `sockets` from now on. Connections that `admits` is false for are closed. */
  constructor(
    sockets: FdListener,
    port: Port,
    transport: string,
    onClose: (listener: SocketListener) => void,
    admits: (fd: Fd) => boolean = () => true,
  ) {
    this.#sockets = sockets;
    this.port = port;
    this.#transport = transport;
    this.#onClose = onClose;
    this.#admits = admits;
  }

  async accept(options: { signal?: AbortSignal } = {}): Promise<Connection> {
    const place = { transport: this.#transport, port: this.port, operation: 'accept' };
    for (;;) {
      if (this.#closed) throw failure('closed', place, 'the listener was closed');
      try {
        const fd = await this.#sockets.accept(options);
        if (this.#isAdmitted(fd)) return new FdConnection(fd, this.port, this.#transport);
      } catch (error) {
        // The peer went away while it was still queued, see accept(2); the next one may be there.
        if (hasCode(error, 'ECONNABORTED')) continue;
        throw transportFailure(error, place);
      }
    }
  }

  /** Keeps the descriptor open only for true. */
  #isAdmitted(fd: Fd): boolean {
    let admitted = false;
    try {
      admitted = this.#admits(fd);
    } finally {
      if (!admitted) fd.close();
    }
    return admitted;
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
