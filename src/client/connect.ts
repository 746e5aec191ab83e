import { BRIDGE_PORT } from '../vsock/ports.ts';
import { type Connection, type Transport, TransportError } from '../vsock/transport.ts';
import { BridgeError } from './errors.ts';

/** Milliseconds for a guest to dial and to negotiate when the caller names no other limit. */
const DEFAULT_CONNECT_MS = 10_000;

export interface ConnectLimits {
  readonly signal?: AbortSignal;
  /** Milliseconds for connection and negotiation together; default 10,000. */
  readonly timeoutMs?: number;
}

/** Runs `work` under the caller's signal and the time limit. */
export async function connect<T>(
  options: ConnectLimits,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { timeoutMs = DEFAULT_CONNECT_MS, signal } = options;
  const limit = new AbortController();
  const timer = setTimeout(() => {
    limit.abort(new BridgeError('no-guest', `no guest within ${timeoutMs} ms`));
  }, timeoutMs);
  try {
    signal?.throwIfAborted();
    return await work(signal ? AbortSignal.any([signal, limit.signal]) : limit.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Takes one connection and listens no more, as hosts do. */
export async function acceptBridge(transport: Transport, signal: AbortSignal): Promise<Connection> {
  await using listener = await transport.listen(BRIDGE_PORT);
  return await listener.accept({ signal });
}

/** BridgeError 'no-guest' when nobody listens on the bridge port. */
export async function dialBridge(transport: Transport, signal: AbortSignal): Promise<Connection> {
  try {
    return await transport.dial(BRIDGE_PORT, { signal });
  } catch (cause) {
    if (cause instanceof TransportError && cause.code === 'refused') {
      throw new BridgeError('no-guest', `no guest listens: ${cause.message}`, { cause });
    }
    throw cause;
  }
}
