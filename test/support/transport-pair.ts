import type { ChildProcess } from 'node:child_process';
import type { Connection, Listener, Port, Transport } from '../../src/vsock/transport.ts';

/** Two ends that reach each other; one dials what the other listens on. */
export interface TransportPair extends AsyncDisposable {
  readonly dialer: Transport;
  readonly listener: Transport;
  /** A port for one test; none is given out twice. */
  port(): Port;
  /** Starts a process that dials `port`, prints "connected", reads nothing and never ends by itself. */
  spawnDialer?(port: Port): ChildProcess;
}

/** Both ends of one established connection. */
export interface Ends extends Disposable {
  readonly dialed: Connection;
  readonly accepted: Connection;
}

/** Listens, dials, accepts and stops listening. */
export async function connect(pair: TransportPair, port = pair.port()): Promise<Ends> {
  const listener = await pair.listener.listen(port);
  try {
    return await connectTo(pair, listener);
  } finally {
    listener.close();
  }
}

/** Dials a port that is listened on and accepts. */
export async function connectTo(pair: TransportPair, listener: Listener): Promise<Ends> {
  const [dialed, accepted] = await Promise.all([
    pair.dialer.dial(listener.port),
    listener.accept(),
  ]);
  return {
    dialed,
    accepted,
    [Symbol.dispose]: () => {
      dialed.close();
      accepted.close();
    },
  };
}
