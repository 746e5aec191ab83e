import { failure, transportFailure } from './failure.ts';
import type { DialOptions, Port } from './transport.ts';

/** DialOptions.timeoutMs when the caller names none. */
const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * The dials of one transport that are under way. Each has one signal that joins the caller's
 * signal, the deadline and the end of the transport, and rejects with whichever came first.
 */
export class PendingDials {
  readonly #transport: string;
  readonly #pending = new Set<AbortController>();
  #closed = false;

  constructor(transport: string) {
    this.#transport = transport;
  }

  /**
   * Runs `attempt` under that signal. Rejects with the caller's abort reason, with TransportError
   * 'timeout' or 'closed', or with what the attempt failed with, as a TransportError.
   */
  async run<T>(
    port: Port,
    options: DialOptions,
    attempt: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const place = { transport: this.#transport, port, operation: 'dial' };
    if (this.#closed) throw failure('closed', place, 'the transport was closed');
    options.signal?.throwIfAborted();
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const controller = new AbortController();
    const onAbort = () => controller.abort(options.signal?.reason);
    const timer = setTimeout(
      () => controller.abort(failure('timeout', place, `no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    options.signal?.addEventListener('abort', onAbort, { once: true });
    this.#pending.add(controller);
    try {
      return await attempt(controller.signal);
    } catch (error) {
      throw transportFailure(error, place);
    } finally {
      this.#pending.delete(controller);
      options.signal?.removeEventListener('abort', onAbort);
      clearTimeout(timer);
    }
  }

  /** Fails what is under way and everything later with 'closed'. */
  close(): void {
    this.#closed = true;
    for (const controller of this.#pending) {
      const place = { transport: this.#transport, operation: 'dial' };
      controller.abort(failure('closed', place, 'the transport was closed'));
    }
  }
}
