import { type Duplex, Writable } from 'node:stream';

/**
 * What a process reads: the writable half of one stdio connection. end() half-closes it, which the
 * process sees as end of file. A process that stopped reading is no fault of the host: the error
 * (EPIPE, ECONNRESET) reaches the callback of the write and 'error' listeners, but does not end
 * the host when nobody listens.
 */
export class InputStream extends Writable {
  readonly #connection: Duplex;

  constructor(connection: Duplex) {
    // The connection outlives 'finish': half-closed, until the guest closes it or the process ends.
    super({ decodeStrings: true, autoDestroy: false });
    this.#connection = connection;
    this.on('error', () => {});
    connection.on('error', (error) => this.destroy(error));
    connection.on('close', () => this.destroy());
    // The guest never writes here; reading is how its close is noticed.
    connection.on('end', () => this.destroy());
    connection.resume();
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    this.#connection.write(chunk, callback);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#connection.cork();
    let left = chunks.length;
    let failure: Error | null | undefined;
    for (const { chunk } of chunks) {
      this.#connection.write(chunk, (error) => {
        failure ??= error;
        left -= 1;
        if (left === 0) callback(failure);
      });
    }
    this.#connection.uncork();
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#connection.end(() => callback());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#connection.destroy();
    callback(error);
  }
}
