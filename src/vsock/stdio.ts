import { checkPort, failure, transportFailure } from './failure.ts';
import { BRIDGE_PORT } from './ports.ts';
import { claimStandardStreams } from './standard-streams.ts';
import type { StreamPair } from './stdio-connection.ts';
import type { Connection, DialOptions, Listener, Port, Transport } from './transport.ts';

export interface StdioOptions {
  /** Opens the pair, at the first dial; default: takes over descriptors 0 and 1 of the process. */
  open?: () => StreamPair;
  /** Serves every port but the bridge's, and is closed with this transport; default: those are 'unsupported'. */
  others?: Transport;
}

/**
 * The bridge on standard input and output, for an agent that somebody starts as a child (over ssh,
 * in a test, under a supervisor). There is one such pair, so BRIDGE_PORT can be dialed once, and
 * its end is the end of the host. Processes have stdio of their own only through `others`; without
 * it a host must create them without pipes.
 */
export class StdioTransport implements Transport {
  readonly name = 'stdio';
  readonly #open: () => StreamPair;
  readonly #others: Transport | undefined;
  #state: 'unused' | 'used' | 'closed' = 'unused';

  constructor(options: StdioOptions = {}) {
    this.#open = options.open ?? claimStandardStreams;
    this.#others = options.others;
  }

  async dial(port: Port, options: DialOptions = {}): Promise<Connection> {
    const place = { transport: this.name, port, operation: 'dial' };
    checkPort(place);
    if (this.#state === 'closed') throw failure('closed', place, 'the transport was closed');
    if (port !== BRIDGE_PORT) {
      if (this.#others !== undefined) return this.#others.dial(port, options);
      throw failure('unsupported', place, 'standard input and output carry the bridge only');
    }
    options.signal?.throwIfAborted();
    if (this.#state === 'used')
      throw failure('refused', place, 'standard input and output can be used only once');
    this.#state = 'used';
    try {
      const { StdioConnection } = await import('./stdio-connection.ts');
      return new StdioConnection(this.#open(), port);
    } catch (error) {
      throw transportFailure(error, place);
    }
  }

  async listen(port: Port): Promise<Listener> {
    const place = { transport: this.name, port, operation: 'listen' };
    checkPort(place);
    if (this.#state === 'closed') throw failure('closed', place, 'the transport was closed');
    if (port !== BRIDGE_PORT && this.#others !== undefined) return this.#others.listen(port);
    throw failure('unsupported', place, 'nobody can connect over standard input and output');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#state = 'closed';
    await this.#others?.[Symbol.asyncDispose]();
  }
}
