import type { Fd } from '../os/fd.ts';
import { type Connection, type Transport, TransportError } from '../vsock/transport.ts';
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
  readonly #connections: Map<StreamName, Connection>;

  private constructor(connections: Map<StreamName, Connection>) {
    this.#connections = connections;
  }

  /**
   * Dials stdin, then stdout, then stderr. On a failure those made before are closed, and what is
   * thrown is a TransportError ("failed creating stdout Connection: …") or the signal's reason.
   */
  static async dial(
    transport: Transport,
    ports: StdioPorts,
    signal?: AbortSignal,
  ): Promise<ConnectionSet> {
    const made = new Map<StreamName, Connection>();
    const options = signal === undefined ? {} : { signal };
    for (const name of streamNames) {
      const port = ports[name];
      if (port === undefined) continue;
      try {
        made.set(name, await transport.dial(port, options));
      } catch (error) {
        for (const connection of made.values()) connection.close();
        signal?.throwIfAborted();
        throw dialFailure(name, transport, error);
      }
    }
    return new ConnectionSet(made);
  }

  /** Gives all descriptors away; the set is empty afterwards. */
  take(): StdioFds {
    const fds: StdioFds = { stdin: null, stdout: null, stderr: null };
    for (const [name, connection] of this.#connections) fds[name] = connection.takeFd();
    this.#connections.clear();
    return fds;
  }

  /** Closes what was not taken. */
  [Symbol.dispose](): void {
    for (const connection of this.#connections.values()) connection.close();
    this.#connections.clear();
  }
}
