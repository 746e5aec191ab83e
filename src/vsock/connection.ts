import type { Duplex } from 'node:stream';
import type { ByteChannel } from '../os/byte-channel.ts';
import type { Fd } from '../os/fd.ts';
import { toDuplex } from '../os/socket.ts';
import { SocketChannel } from '../os/socket-channel.ts';
import { failure } from './failure.ts';
import type { Connection, Port } from './transport.ts';

/** A connection over one socket descriptor, which is all but the stdio transport has. */
export class FdConnection implements Connection {
  readonly port: Port;
  readonly #transport: string;
  #fd: Fd | undefined;

  /** Owns `fd` from now on. */
  constructor(fd: Fd, port: Port, transport: string) {
    this.#fd = fd;
    this.port = port;
    this.#transport = transport;
  }

  takeFd(): Fd {
    return this.#give('takeFd');
  }

  stream(): Duplex {
    return toDuplex(this.#give('stream'));
  }

  channel(): ByteChannel {
    return new SocketChannel(this.#give('channel'));
  }

  /** Closes the descriptor unless it was given away; then it is its new owner's to close. */
  close(): void {
    this.#fd?.close();
    this.#fd = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #give(operation: string): Fd {
    const fd = this.#fd;
    if (fd === undefined) {
      const place = { transport: this.#transport, port: this.port, operation };
      throw failure('closed', place, 'the connection was closed or given away before');
    }
    this.#fd = undefined;
    return fd;
  }
}
