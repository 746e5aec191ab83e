import type { Connection, Listener } from './transport.ts';

/**
 * The next connection, after which the listener is closed, whatever came of it: how a host serves
 * a stdio port. Open the listener before the request that names its port is sent.
 */
export async function acceptOnce(
  listener: Listener,
  options: { signal?: AbortSignal } = {},
): Promise<Connection> {
  try {
    return await listener.accept(options);
  } finally {
    listener.close();
  }
}
