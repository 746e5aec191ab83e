import type { Fd } from '../os/fd.ts';
import { type Connection, type Transport, TransportError } from '../vsock/transport.ts';
import type { StdioKeeper } from './keeper.ts';
import { type StdioPorts, type StreamName, streamNames } from './stdio.ts';

/** The host's ends of a process's streams as raw descriptors; null = not wanted. */
export type StdioFds = Record<StreamName, Fd | null>;

/** The failure of one dial, told as the protocol does; everything else of it is kept. */
function dialFailure(name: StreamName, transport: Transport, error: unknown): unknown {
  const text = error instanceof Error ? error.message : String(error);
  const message = `failed creating ${name} Connection: ${text}`;
  if (!(error instanceof TransportError))
    return new TransportError('system', message, { transport: transport.name, cause: error });
  const { code, port } = error;
  const place = { transport: error.transport, ...(port === undefined ? {} : { port }) };
  return new TransportError(code, message, { ...place, cause: error });
}

/**
 * The connections of one process's streams. The host listens on their ports before it asks for the
 * process, accepts one connection each, and expects all of them before the process is started.
 */
export class ConnectionSet implements Disposable {
  readonly #fds: StdioFds;

  /** Owns the descriptors from now on. */
  constructor(fds: StdioFds) {
    this.#fds = fds;
  }

  /**
   * Dials stdin, then stdout, then stderr. On a failure those made before are closed, and what is
   * thrown is a TransportError ("failed creating stdout Connection: …") or the signal's reason.
   *
   * @param keeper keeps each connection as soon as it is made.
   */
  static async dial(
    transport: Transport,
    ports: StdioPorts,
    options: { signal?: AbortSignal; keeper?: StdioKeeper | undefined } = {},
  ): Promise<ConnectionSet> {
    const { signal, keeper } = options;
    const fds: StdioFds = { stdin: null, stdout: null, stderr: null };
    for (const name of streamNames) {
      const port = ports[name];
      if (port === undefined) continue;
      try {
        const connection = await transport.dial(port, signal === undefined ? {} : { signal });
        const fd = connection.takeFd();
        fds[name] = keeper === undefined ? fd : keeper.keep(name, 'h', fd);
      } catch (error) {
        for (const made of Object.values(fds)) made?.close();
        signal?.throwIfAborted();
        throw dialFailure(name, transport, error);
      }
    }
    return new ConnectionSet(fds);
  }

  /** Connections that are there already; they belong to the set. */
  static of(
    connections: Readonly<Partial<Record<StreamName, Connection>>>,
    keeper?: StdioKeeper,
  ): ConnectionSet {
    const fds: StdioFds = { stdin: null, stdout: null, stderr: null };
    try {
      for (const name of streamNames) {
        const fd = connections[name]?.takeFd();
        if (fd !== undefined) fds[name] = keeper === undefined ? fd : keeper.keep(name, 'h', fd);
      }
    } catch (error) {
      // One of them was closed or given away before.
      for (const fd of Object.values(fds)) fd?.close();
      for (const connection of Object.values(connections)) connection?.close();
      throw error;
    }
    return new ConnectionSet(fds);
  }

  /** These connections, kept from now on; this set is empty afterwards. */
  keptBy(keeper: StdioKeeper | undefined): ConnectionSet {
    const fds = this.take();
    if (keeper === undefined) return new ConnectionSet(fds);
    for (const name of streamNames) {
      const fd = fds[name];
      if (fd !== null) fds[name] = keeper.keep(name, 'h', fd);
    }
    return new ConnectionSet(fds);
  }

  /** The streams there are connections for. */
  get wanted(): Partial<Record<StreamName, true>> {
    return Object.fromEntries(
      streamNames.filter((name) => this.#fds[name] !== null).map((name) => [name, true]),
    );
  }

  /** Gives all descriptors away; the set is empty afterwards. */
  take(): StdioFds {
    const fds = { ...this.#fds };
    for (const name of streamNames) this.#fds[name] = null;
    return fds;
  }

  /** Closes what was not taken. */
  [Symbol.dispose](): void {
    for (const fd of Object.values(this.take())) fd?.close();
  }
}
