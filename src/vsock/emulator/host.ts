import type { Connection, DialOptions, Listener, Port, Transport } from '../transport.ts';

/**
 * The host's end of hybrid:PATH. listen(port) accepts what the guest dials (unix socket PATH_port,
 * made before it returns, removed on close); dial(port) reaches a port the guest listens on
 * (unix socket PATH, "CONNECT port\n", "OK n\n").
 */
export declare class EmulatedHost implements Transport {
  readonly name: string;
  constructor(path: string);
  dial(port: Port, options?: DialOptions): Promise<Connection>;
  listen(port: Port): Promise<Listener>;
  [Symbol.asyncDispose](): Promise<void>;
}
