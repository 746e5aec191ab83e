/**
 * A scripted guest for tests of the client: the guest's end of a bridge that answers what the
 * test tells it to, right or wrong, and an in-memory transport for streams.
 */
import { once } from 'node:events';
import { type Duplex, duplexPair } from 'node:stream';
import { DuplexChannel } from '../../src/os/duplex-channel.ts';
import { FIRST_STDIO_PORT } from '../../src/vsock/ports.ts';
import {
  type Connection,
  type DialOptions,
  type Listener,
  type Port,
  type Transport,
  TransportError,
} from '../../src/vsock/transport.ts';

export interface FakeRequest {
  readonly type: number;
  readonly id: bigint;
  readonly body: Record<string, unknown>;
}

export type FakeHandler = (request: FakeRequest, guest: FakeGuest) => object | undefined;

const NEGOTIATE = 0x10100b01;
const ZERO = '00000000-0000-0000-0000-000000000000';

/** Reply body of a guest like ours. */
export const negotiated = {
  Version: 4,
  Capabilities: {
    SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
    RuntimeOsType: 'Linux',
    GuestDefinedCapabilities: { SignalProcessSupported: true },
  },
};

export class FakeGuest {
  /** The host's end, for GuestClient.over. */
  readonly hostStream: Duplex;
  /** The guest's end. */
  readonly stream: Duplex;
  /** Every request so far, without negotiations. */
  readonly requests: FakeRequest[] = [];
  readonly #handlers = new Map<number, FakeHandler>();
  readonly #arrivals = new Map<number, (() => void)[]>();
  #buffer = Buffer.alloc(0);

  constructor() {
    [this.hostStream, this.stream] = duplexPair();
    this.stream.on('error', () => {});
    this.stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.on(NEGOTIATE, () => negotiated);
  }

  /** What to answer a request of this type with (Result 0 is added); undefined: nothing now. */
  on(type: number, handler: FakeHandler): this {
    this.#handlers.set(type, handler);
    return this;
  }

  reply(request: FakeRequest, body: object): void {
    const type = ((request.type & 0x0fffffff) | 0x20000000) >>> 0;
    this.send(type, request.id, { Result: 0, ActivityId: ZERO, ...body });
  }

  notify(containerId: string, body: object = {}): void {
    this.send(0x30100101, 0n, {
      ContainerId: containerId,
      ActivityId: ZERO,
      Type: 'UnexpectedExit',
      Operation: 'None',
      Result: 0,
      ...body,
    });
  }

  send(type: number, id: bigint, body: object): void {
    this.sendRaw(type, id, Buffer.from(JSON.stringify(body)));
  }

  /** A frame whose header may claim another size than it has. */
  sendRaw(type: number, id: bigint, payload: Buffer, size = 16 + payload.length): void {
    const header = Buffer.alloc(16);
    header.writeUInt32LE(type, 0);
    header.writeUInt32LE(size, 4);
    header.writeBigUInt64LE(id, 8);
    this.stream.write(Buffer.concat([header, payload]));
  }

  /** The first request of this type, now or when it comes. */
  async request(type: number): Promise<FakeRequest> {
    for (;;) {
      const found = this.requests.find((request) => request.type === type);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#arrivals.set(type, [...(this.#arrivals.get(type) ?? []), resolve]);
      });
    }
  }

  close(): void {
    this.stream.end();
  }

  #receive(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    while (this.#buffer.length >= 16 && this.#buffer.length >= this.#buffer.readUInt32LE(4)) {
      const size = this.#buffer.readUInt32LE(4);
      const message = this.#buffer.subarray(0, size);
      this.#buffer = this.#buffer.subarray(size);
      this.#handle({
        type: message.readUInt32LE(0),
        id: message.readBigUInt64LE(8),
        body: JSON.parse(message.toString('utf8', 16)) as Record<string, unknown>,
      });
    }
  }

  #handle(request: FakeRequest): void {
    if (request.type !== NEGOTIATE) this.requests.push(request);
    const body = this.#handlers.get(request.type)?.(request, this);
    if (body !== undefined) this.reply(request, body);
    for (const wake of this.#arrivals.get(request.type) ?? []) wake();
    this.#arrivals.delete(request.type);
  }
}

/** Streams by port inside one process: what the host listens on, `connect` dials like a guest. */
export class MemoryTransport implements Transport {
  readonly name = 'memory';
  /** Listeners that are open now. */
  readonly listening = new Map<Port, (stream: Duplex) => void>();
  /** Ports that are taken by somebody else. */
  readonly taken = new Set<Port>();
  /** Every port that was listened on, in order. */
  readonly ports: Port[] = [];

  /** Dials a port of the host as the guest does. */
  connect(port: Port): Duplex {
    const accept = this.listening.get(port);
    if (accept === undefined) throw new Error(`nobody listens on port ${port}`);
    const [host, guest] = duplexPair();
    guest.on('error', () => {});
    accept(host);
    return guest;
  }

  async dial(port: Port, _options?: DialOptions): Promise<Connection> {
    throw new TransportError('refused', 'no guest', { transport: this.name, port });
  }

  async listen(port: Port): Promise<Listener> {
    if (this.taken.has(port)) {
      throw new TransportError('port-in-use', 'taken', { transport: this.name, port });
    }
    this.ports.push(port);
    const queue: Duplex[] = [];
    const events = new EventTarget();
    this.listening.set(port, (stream) => {
      queue.push(stream);
      events.dispatchEvent(new Event('connection'));
    });
    const close = () => {
      this.listening.delete(port);
      for (const stream of queue.splice(0)) stream.destroy();
    };
    const accept = async (options: { signal?: AbortSignal } = {}): Promise<Connection> => {
      while (queue.length === 0) {
        options.signal?.throwIfAborted();
        await once(events, 'connection', options).catch((error: Error) => {
          throw options.signal?.aborted === true ? options.signal.reason : error;
        });
      }
      return memoryConnection(port, queue.shift() as Duplex);
    };
    return { port, accept, close, [Symbol.asyncDispose]: async () => close() };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function memoryConnection(port: Port, stream: Duplex): Connection {
  const close = () => void stream.destroy();
  return {
    port,
    stream: () => stream,
    channel: () => new DuplexChannel(stream),
    takeFd: () => {
      throw new Error('a stream in memory has no descriptor');
    },
    close,
    [Symbol.dispose]: close,
  };
}

export { FIRST_STDIO_PORT };
