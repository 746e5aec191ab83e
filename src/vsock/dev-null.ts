import { readSync } from 'node:fs';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { FdPoll } from '../os/poll.ts';
import { shutdown, socketPair } from '../os/socket.ts';
import { AcceptQueue } from './accept-queue.ts';
import { FdConnection } from './connection.ts';
import { checkPort, errnoNameOf, failure, transportFailure } from './failure.ts';
import type { Connection, DialOptions, Listener, Port, Transport } from './transport.ts';

/** One for all sinks: what is read is never looked at. */
const swallowed = Buffer.allocUnsafeSlow(256 * 1024);

/**
 * A host that is not there: every dial succeeds, what is written is swallowed, a read gives the
 * end of the stream at once, and nobody ever connects to a port that is listened on.
 *
 * Connections are sockets, not descriptors of /dev/null: relays and processes find what they find
 * with a real host (poll(2), shutdown(2), a hang-up once the other side has closed), none of which
 * /dev/null has.
 */
export class DevNullTransport implements Transport {
  readonly name = 'dev-null';
  readonly #sinks = new Set<Sink>();
  readonly #queues = new Map<Port, AcceptQueue>();
  #closed = false;

  async dial(port: Port, options: DialOptions = {}): Promise<Connection> {
    const place = { transport: this.name, port, operation: 'dial' };
    checkPort(place);
    options.signal?.throwIfAborted();
    if (this.#closed) throw failure('closed', place, 'the transport was closed');
    try {
      const [ours, theirs] = socketPair();
      this.#sinks.add(new Sink(theirs, (sink) => this.#sinks.delete(sink)));
      return new FdConnection(ours, port, this.name);
    } catch (error) {
      throw transportFailure(error, place);
    }
  }

  async listen(port: Port): Promise<Listener> {
    const place = { transport: this.name, port, operation: 'listen' };
    checkPort(place);
    if (this.#closed) throw failure('closed', place, 'the transport was closed');
    if (this.#queues.has(port))
      throw failure('port-in-use', place, 'this process listens on it already');
    const queue = new AcceptQueue(port, this.name, 0, () => this.#queues.delete(port));
    this.#queues.set(port, queue);
    return queue;
  }

  /** Also ends the connections that are still open: their other end goes away with the host. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const queue of [...this.#queues.values()]) queue.close();
    for (const sink of [...this.#sinks]) sink.close();
  }
}

/** The far end of one connection: reads everything and keeps nothing until the near end closes. */
class Sink {
  readonly #fd: Fd;
  readonly #poll: FdPoll;
  readonly #onClose: (sink: Sink) => void;

  constructor(fd: Fd, onClose: (sink: Sink) => void) {
    this.#fd = fd;
    this.#onClose = onClose;
    shutdown(fd, 'write');
    this.#poll = new FdPoll(fd.raw, { read: true }, () => this.#swallow());
    // Nothing is gained by staying alive for what nobody will read.
    this.#poll.unref();
  }

  close(): void {
    this.#poll.close();
    this.#fd.close();
    this.#onClose(this);
  }

  /** One read a turn of the event loop, so that one busy writer leaves room for all else. */
  #swallow(): void {
    try {
      if (readSync(this.#fd.raw, swallowed, 0, swallowed.length, null) > 0) return;
    } catch (error) {
      if (hasCode(error, 'EAGAIN') || hasCode(error, 'EINTR')) return;
      // A reset is just another way for the near end to go; anything else is a defect of ours.
      if (errnoNameOf(error) !== 'ECONNRESET') throw error;
    }
    this.close();
  }
}
