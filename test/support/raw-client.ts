/**
 * A second host for the tests. It speaks the bridge with its own framing and its own JSON over
 * plain unix sockets and shares no code with src/, so that a mistake made on both sides of src/
 * is still seen. It checks what a real host would break the bridge over: sizes, types, ids.
 */
import { EventEmitter, once } from 'node:events';
import { rm } from 'node:fs/promises';
import net from 'node:net';
import { decodeExact, encodeExact } from './exact-json.ts';

export const RAW_BRIDGE_PORT = 1_073_741_824;
export const NULL_CONTAINER = '00000000-0000-0000-0000-000000000000';
export const ZERO_ACTIVITY = '00000000-0000-0000-0000-000000000000';

/** Request types, as numbers on the wire. */
export const RAW = {
  create: 0x10100101,
  start: 0x10100201,
  shutdownGraceful: 0x10100301,
  shutdownForced: 0x10100401,
  executeProcess: 0x10100501,
  waitForProcess: 0x10100601,
  signalProcess: 0x10100701,
  resizeConsole: 0x10100801,
  getProperties: 0x10100901,
  modifySettings: 0x10100a01,
  negotiate: 0x10100b01,
  dumpStacks: 0x10100c01,
  deleteContainerState: 0x10100d01,
  notification: 0x30100101,
} as const;

/** Largest message a host takes from the agent, header included. */
const HOST_LIMIT = 65_536;

export interface RawMessage {
  type: number;
  id: bigint;
  /** Payload as it came. */
  text: string;
  /** Payload decoded; integers beyond 2^53 are bigint. */
  body: Record<string, unknown>;
}

/** Header and payload as one buffer; `size` overrides the true size for hostile frames. */
export function rawFrame(
  type: number,
  id: bigint | number,
  payload: string | Buffer,
  size?: number,
): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
  const frame = Buffer.alloc(16 + bytes.length);
  frame.writeUInt32LE(type, 0);
  frame.writeUInt32LE(size ?? frame.length, 4);
  frame.writeBigUInt64LE(BigInt(id), 8);
  bytes.copy(frame, 16);
  return frame;
}

/** The bridge as a host sees it: one accepted connection. */
export class RawBridge {
  readonly socket: net.Socket;
  /** Every message in the order it came, replies and notifications. */
  readonly received: RawMessage[] = [];
  readonly notifications: RawMessage[] = [];
  /** Resolves when the agent's end is gone. */
  readonly closed: Promise<void>;
  #events = new EventEmitter();
  #buffered: Buffer[] = [];
  #bytes = 0;
  #nextId = 0n;
  #waiting = new Map<
    bigint,
    { type: number; settle: (message: RawMessage) => void; fail: (error: Error) => void }
  >();
  #failure: Error | undefined;

  constructor(socket: net.Socket) {
    this.socket = socket;
    this.#events.setMaxListeners(0);
    socket.on('data', (chunk: Buffer) => {
      try {
        this.#take(chunk);
      } catch (error) {
        this.#failure = new Error(`the agent broke the protocol: ${(error as Error).message}`);
        socket.destroy();
      }
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#fail(this.#failure ?? new Error('the bridge was closed'));
        resolve();
      });
      socket.once('end', () => socket.end());
    });
  }

  /** What broke the protocol on the agent's side, if anything did. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  get pending(): number {
    return this.#waiting.size;
  }

  /** Sends bytes as they are. */
  sendBytes(bytes: Buffer | string): void {
    this.socket.write(bytes);
  }

  nextId(): bigint {
    return this.#nextId++;
  }

  /**
   * Sends a request and resolves with its reply, whatever its Result. A string or Buffer is sent
   * as the payload itself. `ContainerId` and `ActivityId` are the caller's to give.
   */
  request(
    type: number,
    body: object | string | Buffer,
    options: { id?: bigint } = {},
  ): Promise<RawMessage> {
    const id = options.id ?? this.nextId();
    const payload =
      typeof body === 'string' || Buffer.isBuffer(body) ? body : `${encodeExact(body)}\n`;
    if (this.#failure) return Promise.reject(this.#failure);
    const reply = this.expectReply(type, id);
    this.sendBytes(rawFrame(type, id, payload));
    return reply;
  }

  /** The reply to a request that was or will be sent as bytes. */
  expectReply(type: number, id: bigint): Promise<RawMessage> {
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { type, settle: resolve, fail: reject });
    });
  }

  /** Like request, but a Result other than 0 is a RawFailure. */
  async call(type: number, body: object): Promise<RawMessage> {
    const reply = await this.request(type, { ActivityId: ZERO_ACTIVITY, ...body });
    if (reply.body.Result !== 0) throw new RawFailure(type, reply);
    return reply;
  }

  /** The exit notification of a container; resolves at once when it has come already. */
  async notification(containerId: string, signal?: AbortSignal): Promise<RawMessage> {
    const find = () => this.notifications.find((m) => m.body.ContainerId === containerId);
    for (;;) {
      const found = find();
      if (found) return found;
      if (this.#failure) throw this.#failure;
      await once(this.#events, 'change', signal ? { signal } : {});
    }
  }

  close(): void {
    this.socket.destroy();
  }

  #take(chunk: Buffer): void {
    this.#buffered.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= 16) {
      const all = this.#buffered.length === 1 ? this.#buffered[0] : Buffer.concat(this.#buffered);
      if (!all) return;
      const size = all.readUInt32LE(4);
      if (size < 16 || size > HOST_LIMIT) {
        throw new Error(`invalid message size ${size}`);
      }
      if (all.length < size) {
        this.#buffered = [all];
        return;
      }
      this.#buffered = all.length > size ? [all.subarray(size)] : [];
      this.#bytes = all.length - size;
      this.#message(all.subarray(0, size));
    }
  }

  #message(frame: Buffer): void {
    const text = frame.toString('utf8', 16);
    let body: unknown;
    try {
      body = decodeExact(text);
    } catch (error) {
      throw new Error(`payload is no JSON (${String(error)}): ${text.slice(0, 200)}`);
    }
    const message: RawMessage = {
      type: frame.readUInt32LE(0),
      id: frame.readBigUInt64LE(8),
      text,
      body: body as Record<string, unknown>,
    };
    this.received.push(message);
    if (message.type === RAW.notification) {
      if (message.id !== 0n) throw new Error(`notification with id ${message.id}`);
      this.notifications.push(message);
    } else {
      const waiting = this.#waiting.get(message.id);
      if (!waiting) throw new Error(`reply to an unknown id ${message.id}: ${text}`);
      const expected = ((waiting.type & 0x0fffffff) | 0x20000000) >>> 0;
      if (message.type !== expected) {
        throw new Error(
          `reply type 0x${message.type.toString(16)} to 0x${waiting.type.toString(16)}`,
        );
      }
      this.#waiting.delete(message.id);
      waiting.settle(message);
    }
    this.#events.emit('change');
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const waiting of this.#waiting.values()) waiting.fail(error);
    this.#waiting.clear();
    this.#events.emit('change');
  }
}

export class RawFailure extends Error {
  override readonly name = 'RawFailure';
  readonly reply: RawMessage;
  /** HRESULT as an unsigned number, 0xC037010E. */
  readonly hresult: number;

  constructor(type: number, reply: RawMessage) {
    const hresult = Number(reply.body.Result) >>> 0;
    super(
      `request 0x${type.toString(16)} failed with 0x${hresult.toString(16)}: ${String(reply.body.ErrorMessage)}`,
    );
    this.reply = reply;
    this.hresult = hresult;
  }
}

/** One port the host listens on, for the single connection the guest makes to it. */
export class RawPort {
  readonly port: number;
  readonly connection: Promise<net.Socket>;
  #server: net.Server;

  constructor(port: number, server: net.Server) {
    this.port = port;
    this.#server = server;
    this.connection = new Promise((resolve) => {
      server.once('connection', (socket) => {
        socket.on('error', () => {});
        server.close();
        resolve(socket);
      });
    });
  }

  close(): void {
    this.#server.close();
  }
}

/** The host's end of hybrid:PATH, on bare unix sockets. */
export class RawHost implements AsyncDisposable {
  readonly path: string;
  #nextPort = RAW_BRIDGE_PORT + 1;
  #ports = new Set<RawPort>();
  #sockets = new Set<net.Socket>();
  #streams = new Set<net.Socket>();
  #bridges: RawBridge[] = [];
  #bridgeServer: net.Server | undefined;
  #arrivals = new EventEmitter();

  constructor(path: string) {
    this.path = path;
  }

  /** Listens for the bridge, for as many connections as the agent makes one after the other. */
  async listenBridge(): Promise<void> {
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      this.#keep(socket);
      this.#bridges.push(new RawBridge(socket));
      this.#arrivals.emit('bridge');
    });
    await this.#listen(server, RAW_BRIDGE_PORT);
    this.#bridgeServer = server;
  }

  /** Removes the bridge's port; what is connected stays. */
  stopListening(): void {
    this.#bridgeServer?.close();
    this.#bridgeServer = undefined;
  }

  /** The next bridge connection the agent made that nobody took yet. */
  async acceptBridge(signal?: AbortSignal): Promise<RawBridge> {
    for (;;) {
      const bridge = this.#bridges.shift();
      if (bridge) return bridge;
      await once(this.#arrivals, 'bridge', signal ? { signal } : {});
    }
  }

  /** Listens on the next stdio port, or on the one given. */
  async listenPort(port = this.#nextPort++): Promise<RawPort> {
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      this.#keep(socket);
      this.#streams.add(socket);
      socket.once('close', () => this.#streams.delete(socket));
    });
    const raw = new RawPort(port, server);
    await this.#listen(server, port);
    this.#ports.add(raw);
    return raw;
  }

  /** A port number nobody listens on. */
  unusedPort(): number {
    return this.#nextPort++;
  }

  /** Connects to a port the guest listens on. */
  async dial(port: number): Promise<net.Socket> {
    const socket = net.connect({ path: this.path, allowHalfOpen: true });
    await once(socket, 'connect');
    this.#keep(socket);
    socket.write(`CONNECT ${port}\n`);
    let line = '';
    while (!line.endsWith('\n')) {
      const byte = socket.read(1) as Buffer | null;
      if (byte) line += byte.toString('latin1');
      else if (socket.readableEnded) throw new Error(`port ${port} of the guest refused`);
      else await Promise.race([once(socket, 'readable'), once(socket, 'end')]);
    }
    if (!/^OK \d+\n$/.test(line)) throw new Error(`unexpected answer ${JSON.stringify(line)}`);
    return socket;
  }

  /** Destroys every stdio connection; bridges stay. */
  closeStreams(): void {
    for (const port of this.#ports) port.close();
    for (const socket of this.#streams) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopListening();
    this.closeStreams();
    for (const socket of this.#sockets) socket.destroy();
    await rm(`${this.path}_${RAW_BRIDGE_PORT}`, { force: true });
  }

  async #listen(server: net.Server, port: number): Promise<void> {
    server.listen(`${this.path}_${port}`);
    await once(server, 'listening');
  }

  #keep(socket: net.Socket): void {
    socket.on('error', () => {});
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
