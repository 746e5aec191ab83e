import type { Duplex } from 'node:stream';
import type { ByteChannel } from '../os/byte-channel.ts';
import { DuplexChannel } from '../os/duplex-channel.ts';
import type { Fd } from '../os/fd.ts';
import { toDuplex } from '../os/socket.ts';
import { SocketChannel } from '../os/socket-channel.ts';
import { failure } from './failure.ts';
import { isOneSocket, PairedStream } from './stdio-stream.ts';
import type { Connection, Port } from './transport.ts';

/** A descriptor to read from and one to write to; they may share one socket. */
export interface StreamPair {
  input: Fd;
  output: Fd;
}

/** A connection over a pair of descriptors. */
export class StdioConnection implements Connection {
  readonly port: Port;
  #pair: StreamPair | undefined;

  constructor(pair: StreamPair, port: Port) {
    this.#pair = pair;
    this.port = port;
  }

  /** Only for a pair that is one socket; two descriptors cannot be given away as one: 'unsupported'. */
  takeFd(): Fd {
    const { input, output } = this.#current('takeFd');
    if (!isOneSocket(input, output)) {
      const place = { transport: 'stdio', port: this.port, operation: 'takeFd' };
      throw failure('unsupported', place, 'input and output are two descriptors; use stream()');
    }
    this.#pair = undefined;
    output.close();
    return input;
  }

  stream(): Duplex {
    const { input, output } = this.#current('stream');
    this.#pair = undefined;
    if (!isOneSocket(input, output)) return new PairedStream(input, output);
    output.close();
    return toDuplex(input);
  }

  channel(): ByteChannel {
    const { input, output } = this.#current('channel');
    if (!isOneSocket(input, output)) return new DuplexChannel(this.stream());
    this.#pair = undefined;
    output.close();
    return new SocketChannel(input);
  }

  close(): void {
    this.#pair?.input.close();
    this.#pair?.output.close();
    this.#pair = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #current(operation: string): StreamPair {
    if (this.#pair !== undefined) return this.#pair;
    const place = { transport: 'stdio', port: this.port, operation };
    throw failure('closed', place, 'the connection was closed or given away before');
  }
}
