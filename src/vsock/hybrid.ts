import { connectUnix, listenUnix } from '../os/socket.ts';
import { AcceptQueue } from './accept-queue.ts';
import type { HandshakeLimits } from './connect-server.ts';
import { ConnectServer } from './connect-server.ts';
import { FdConnection } from './connection.ts';
import { checkPort, failure, transportFailure } from './failure.ts';
import { PendingDials } from './pending-dials.ts';
import type { Connection, DialOptions, Listener, Port, Transport } from './transport.ts';

export interface HybridOptions {
  /** Bounds on peers that connect to PATH; see HandshakeLimits. */
  handshake?: Partial<HandshakeLimits>;
  /** Connections per port that nobody has accepted yet; one more is refused. */
  backlog?: number;
  /** A peer on PATH was dropped (silent, wrong, no such port); for logs. */
  onDropped?: (reason: Error) => void;
}

const DEFAULT_HANDSHAKE: HandshakeLimits = { deadlineMs: 5_000, pending: 1_024 };
const DEFAULT_BACKLOG = 1_024;

/**
 * The guest's end of hybrid:PATH. dial(port) connects to the unix socket PATH_port; listen(port)
 * takes what connects to the unix socket PATH and asks for that port. PATH exists while at least
 * one port is listened on.
 */
export class HybridTransport implements Transport {
  readonly name: string;
  readonly #path: string;
  readonly #options: HybridOptions;
  readonly #dials: PendingDials;
  readonly #queues = new Map<Port, AcceptQueue>();
  #server: ConnectServer | undefined;
  #closed = false;

  constructor(path: string, options: HybridOptions = {}) {
    this.name = `hybrid:${path}`;
    this.#path = path;
    this.#options = options;
    this.#dials = new PendingDials(this.name);
  }

  async dial(port: Port, options: DialOptions = {}): Promise<Connection> {
    checkPort({ transport: this.name, port, operation: 'dial' });
    return this.#dials.run(port, options, async (signal) => {
      const fd = await connectUnix(`${this.#path}_${port}`, { signal });
      return new FdConnection(fd, port, this.name);
    });
  }

  async listen(port: Port): Promise<Listener> {
    const place = { transport: this.name, port, operation: 'listen' };
    checkPort(place);
    if (this.#closed) throw failure('closed', place, 'the transport was closed');
    if (this.#queues.has(port))
      throw failure('port-in-use', place, 'this process listens on it already');
    try {
      this.#server ??= this.#openServer();
    } catch (error) {
      throw transportFailure(error, place);
    }
    const backlog = this.#options.backlog ?? DEFAULT_BACKLOG;
    const queue = new AcceptQueue(port, this.name, backlog, () => this.#forget(port));
    this.#queues.set(port, queue);
    return queue;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#dials.close();
    for (const queue of [...this.#queues.values()]) queue.close();
  }

  #openServer(): ConnectServer {
    return new ConnectServer({
      transport: this.name,
      sockets: listenUnix(this.#path),
      route: (port) => this.#queues.get(port),
      limits: { ...DEFAULT_HANDSHAKE, ...this.#options.handshake },
      onDropped: this.#options.onDropped ?? (() => {}),
      onFailure: (reason) => {
        for (const queue of [...this.#queues.values()]) queue.close(reason);
      },
    });
  }

  #forget(port: Port): void {
    this.#queues.delete(port);
    if (this.#queues.size > 0) return;
    this.#server?.close();
    this.#server = undefined;
  }
}
