import { RAW, RawBridge, ZERO_ACTIVITY } from '../../../test/support/raw-client.ts';
import { createLogger } from '../../log/create-logger.ts';
import type { LogEntry } from '../../log/format.ts';
import { socketPair, toDuplex } from '../../os/socket.ts';
import { SocketChannel } from '../../os/socket-channel.ts';
import {
  type Connection,
  type Port,
  type Transport,
  TransportError,
} from '../../vsock/transport.ts';
import type { BridgeLimits } from '../limits.ts';
import { BridgeServer } from '../server.ts';
import type { FakeUvm } from './fake-uvm.ts';

/** A host one socket pair away: every dial makes a pair, whose other end the test takes. */
class PairTransport implements Transport {
  readonly name = 'pair';
  readonly #arrived: RawBridge[] = [];
  #wanted: ((bridge: RawBridge) => void) | undefined;
  readonly dials: number[] = [];
  /** Fails the dials to come. */
  refuse: TransportError | undefined;

  async dial(port: Port): Promise<Connection> {
    this.dials.push(port);
    if (this.refuse !== undefined) throw this.refuse;
    const [agent, host] = socketPair();
    const bridge = new RawBridge(toDuplex(host));
    const wanted = this.#wanted;
    this.#wanted = undefined;
    if (wanted === undefined) this.#arrived.push(bridge);
    else wanted(bridge);
    const close = (): void => agent.close();
    return {
      port,
      takeFd: () => agent,
      stream: () => toDuplex(agent),
      channel: () => new SocketChannel(agent),
      close,
      [Symbol.dispose]: close,
    };
  }

  async listen(): Promise<never> {
    throw new TransportError('unsupported', 'a pair cannot listen', { transport: this.name });
  }

  next(): Promise<RawBridge> {
    const arrived = this.#arrived.shift();
    if (arrived !== undefined) return Promise.resolve(arrived);
    return new Promise((resolve) => {
      this.#wanted = resolve;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** The bridge in front of a fake VM, and the hosts that talk to it. */
export class BridgeSession implements AsyncDisposable {
  readonly transport = new PairTransport();
  readonly log: (LogEntry['fields'] & { level: string; msg: string })[] = [];
  readonly done: Promise<void>;
  readonly #stop = new AbortController();
  readonly #bridges: RawBridge[] = [];

  constructor(uvm: FakeUvm, limits: Partial<BridgeLimits> = {}, once = false) {
    const log = createLogger({
      format: 'json',
      level: 'trace',
      to: {
        sink: {
          write: (line) => this.log.push(JSON.parse(line)),
          flush: () => {},
          [Symbol.dispose]: () => {},
        },
      },
    });
    const server = new BridgeServer({
      transport: this.transport,
      uvm: () => uvm.open(),
      log,
      limits: { redialMs: 1, ...limits },
      once,
    });
    this.done = server.run(this.#stop.signal);
    // A test that does not look at the end must not fail by it.
    this.done.catch(() => {});
  }

  /** The next connection of the agent, before anything was said. */
  async connection(): Promise<RawBridge> {
    const bridge = await this.transport.next();
    this.#bridges.push(bridge);
    return bridge;
  }

  /** The next connection, negotiated. */
  async host(): Promise<RawBridge> {
    const bridge = await this.connection();
    await negotiate(bridge);
    return bridge;
  }

  stop(): void {
    this.#stop.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    for (const bridge of this.#bridges) bridge.close();
    await this.done.catch(() => {});
  }
}

export async function negotiate(bridge: RawBridge): Promise<void> {
  await bridge.call(RAW.negotiate, { ContainerId: '', MinimumVersion: 4, MaximumVersion: 4 });
}

/** A request body with the fields every host sends. */
export function body(containerId: string, fields: object = {}): object {
  return { ContainerId: containerId, ActivityId: ZERO_ACTIVITY, ...fields };
}

/** Of a wait without a limit. */
export const forever = { TimeoutInMs: 0xffffffff };

/** The Result of a reply, as an HRESULT is written. */
export function hresult(reply: { body: Record<string, unknown> }): string {
  return `0x${(Number(reply.body.Result) >>> 0).toString(16)}`;
}

/** Resolves when the agent has handled all that was sent before. */
export async function settled(bridge: RawBridge): Promise<void> {
  await bridge.call(RAW.start, body('c'));
}
