import type { Duplex } from 'node:stream';
import type { ByteChannel } from '../os/byte-channel.ts';
import type { Fd } from '../os/fd.ts';

/** A vsock port number, 0 to 2^32-2 (vsock(7)); 2^32-1 is VMADDR_PORT_ANY. */
export type Port = number;

/**
 * One stream connection. It is used in one of three ways: as a raw descriptor that is given away
 * (stdio of a process, a relay), as a channel (the bridge) or as a Duplex. Choosing one ends the others.
 */
export interface Connection extends Disposable {
  /** The port it was dialed to or accepted on. */
  readonly port: Port;
  /** Gives the raw non-blocking descriptor away; the caller owns it from now on. */
  takeFd(): Fd;
  /** Wraps it in a Duplex with half-close both ways (allowHalfOpen); the Duplex owns it from now on. */
  stream(): Duplex;
  /** What the bridge needs of a Duplex, without loading node:stream. The channel owns it from now on. */
  channel(): ByteChannel;
  close(): void;
}

export interface Listener extends AsyncDisposable {
  readonly port: Port;
  /** The next connection. Rejects with the signal's reason, or with a TransportError 'closed'. */
  accept(options?: { signal?: AbortSignal }): Promise<Connection>;
  close(): void;
}

export interface DialOptions {
  signal?: AbortSignal;
  /** Milliseconds for the whole dial including retries; default 10 s. */
  timeoutMs?: number;
}

/** How the guest reaches its host and is reached by it. One compliance suite tests every implementation. */
export interface Transport extends AsyncDisposable {
  /** For logs and errors: "vsock", "hybrid:/run/x.sock". */
  readonly name: string;
  /** Connects to a port of the host. */
  dial(port: Port, options?: DialOptions): Promise<Connection>;
  /** Accepts connections that the host makes to a port of the guest. */
  listen(port: Port): Promise<Listener>;
}

export type TransportErrorCode =
  /** The kernel has no vsock device or transport. */
  | 'no-device'
  /** Nobody listens on that port. */
  | 'refused'
  | 'timeout'
  | 'port-in-use'
  /** This transport cannot do that (listen on stdio). */
  | 'unsupported'
  /** The transport or listener was closed. */
  | 'closed'
  /** The peer broke the CONNECT convention. */
  | 'protocol'
  /** Out of descriptors, permissions and everything else; `cause` says. */
  | 'system';

export class TransportError extends Error {
  override readonly name = 'TransportError';
  readonly code: TransportErrorCode;
  readonly transport: string;
  readonly port: Port | undefined;

  constructor(
    code: TransportErrorCode,
    message: string,
    details: { transport: string; port?: Port; cause?: unknown },
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.transport = details.transport;
    this.port = details.port;
  }
}
