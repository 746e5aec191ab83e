import { type Duplex, Readable } from 'node:stream';

/** Milliseconds a stream may stay silent after its process has ended before it is closed; what hcsshim gives its own copies. */
export const QUIET_AFTER_EXIT_MS = 1000;

/**
 * What a process writes: the readable half of one stdio connection. At its end the connection is
 * closed, for which a guest waits before it reports the exit. Destroying it early closes the
 * connection too, and the process gets SIGPIPE or EPIPE.
 */
export class OutputStream extends Readable {
  readonly #connection: Duplex;
  #ended = false;
  #quiet: NodeJS.Timeout | undefined;
  #quietMs: number | undefined;

  constructor(connection: Duplex) {
    super();
    this.#connection = connection;
    // A lost guest must not end a host that happens not to read: readers still get the error.
    this.on('error', () => {});
    connection.on('data', (chunk: Buffer) => {
      if (this.#ended) return;
      this.#restartQuiet();
      if (!this.push(chunk)) connection.pause();
    });
    connection.on('end', () => this.#finish());
    connection.on('error', (error) => {
      if (!this.#ended) this.destroy(error);
    });
    connection.on('close', () => {
      if (!this.#ended) this.destroy(new Error('the guest broke the connection of this stream'));
    });
    connection.pause();
  }

  /**
   * The process has ended: the stream now ends by itself, or, when something else in the guest
   * still holds it, once nothing came for `quietMs`. A reader that is behind loses nothing.
   */
  processExited(quietMs: number): void {
    if (this.#ended || this.destroyed) return;
    this.#quietMs = quietMs;
    this.#restartQuiet();
  }

  override _read(): void {
    this.#restartQuiet();
    this.#connection.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#ended = true;
    clearTimeout(this.#quiet);
    this.#connection.destroy();
    callback(error);
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#quiet);
    this.push(null);
    this.#connection.destroy();
  }

  // Time only counts while we ask for data: a paused connection says nothing about the guest.
  #restartQuiet(): void {
    clearTimeout(this.#quiet);
    if (this.#quietMs === undefined || this.#ended) return;
    this.#quiet = setTimeout(() => {
      if (this.#connection.isPaused()) return;
      this.#finish();
    }, this.#quietMs);
  }
}
