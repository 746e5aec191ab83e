import { randomBytes } from 'node:crypto';
import { finished } from 'node:stream/promises';
import type { Connection, Listener, Port, Transport } from '../vsock/transport.ts';
import { TransportError } from '../vsock/transport.ts';
import { LogFile } from './log-file.ts';
import { ENTROPY_PORT, LOG_PORT } from './qemu.ts';

/** What Linux' init of LCOW reads once. */
const SEED_BYTES = 512;

/** The ports on which init expects its host: a seed for the random generator, and the agent's log. */
export class HostPorts implements Disposable {
  readonly #log: LogFile;
  readonly #onError: (error: unknown) => void;
  readonly #listeners: Listener[] = [];

  /** `onError` hears of single connections that failed; the ports go on. */
  constructor(logFile: string, onError: (error: unknown) => void) {
    this.#log = new LogFile(logFile);
    this.#onError = onError;
  }

  async listen(transport: Transport): Promise<void> {
    await this.#serve(transport, ENTROPY_PORT, (connection) => this.#seed(connection));
    await this.#serve(transport, LOG_PORT, (connection) => this.#keepLog(connection));
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener.close();
    this.#log[Symbol.dispose]();
  }

  async #serve(
    transport: Transport,
    port: Port,
    handle: (connection: Connection) => Promise<void>,
  ): Promise<void> {
    const listener = await transport.listen(port);
    this.#listeners.push(listener);
    const loop = async (): Promise<void> => {
      for (;;) {
        const connection = await listener.accept();
        handle(connection).catch(this.#onError);
      }
    };
    loop().catch((error: unknown) => {
      if (!(error instanceof TransportError && error.code === 'closed')) this.#onError(error);
    });
  }

  async #seed(connection: Connection): Promise<void> {
    const stream = connection.stream();
    stream.resume().end(randomBytes(SEED_BYTES));
    await finished(stream);
  }

  async #keepLog(connection: Connection): Promise<void> {
    for await (const bytes of connection.stream()) this.#log.append(bytes as Buffer);
  }
}
