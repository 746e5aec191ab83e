import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type { LogFields, Logger } from '../../src/log/logger.ts';
import {
  VsockDeviceServer,
  type VsockDeviceServerOptions,
} from '../../src/vsock/emulator/device/server.ts';
import { EmulatedHost } from '../../src/vsock/emulator/host.ts';
import { Machine } from './virtio-driver.ts';
import { Guest } from './virtio-guest.ts';

export const CID = 42;

interface LogEntry {
  level: string;
  message: string;
  fields: LogFields;
}

/** A device with its two sockets in a directory of its own, and a log that can be waited for. */
export class DeviceLab implements AsyncDisposable {
  readonly directory = mkdtempSync('/tmp/gcs-device-');
  readonly socket = join(this.directory, 'device');
  readonly path = join(this.directory, 'vsock');
  readonly log: LogEntry[] = [];
  readonly device: VsockDeviceServer;
  readonly host = new EmulatedHost(this.path);
  disconnects = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #servers: Server[] = [];
  readonly #machines: Machine[] = [];

  constructor(options: Partial<VsockDeviceServerOptions> = {}) {
    try {
      this.device = new VsockDeviceServer({
        socket: this.socket,
        path: this.path,
        cid: CID,
        log: this.#logger(),
        onDisconnected: () => {
          this.disconnects += 1;
          this.#wake();
        },
        ...options,
      });
    } catch (error) {
      // Nobody has it, to dispose of it.
      rmSync(this.directory, { recursive: true });
      throw error;
    }
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  #logger(): Logger {
    const entry =
      (level: string) =>
      (message: string, fields: LogFields = {}): void => {
        this.log.push({ level, message, fields });
        this.#wake();
      };
    const logger: Logger = {
      trace: () => {},
      debug: entry('debug'),
      info: entry('info'),
      warning: entry('warning'),
      error: entry('error'),
      with: () => logger,
      enabled: () => true,
    };
    return logger;
  }

  /** Resolves once the device has logged it; with the entry. */
  async logged(text: string): Promise<LogEntry> {
    for (;;) {
      const found = this.log.find(({ message, fields }) =>
        `${message} ${fields.error ?? ''}`.includes(text),
      );
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async disconnected(count: number): Promise<void> {
    while (this.disconnects < count)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** A machine whose driver runs. */
  async boot(): Promise<Guest> {
    const machine = await Machine.start(this.socket, CID);
    this.#machines.push(machine);
    return new Guest(machine);
  }

  /** Listens on a host port. */
  async serve(port: number, onConnection: (socket: Socket) => void): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, onConnection);
    this.#servers.push(server);
    server.listen({ path: `${this.path}_${port}`, backlog: 1024 });
    await once(server, 'listening');
  }

  async echo(port: number): Promise<void> {
    await this.serve(port, (socket) => socket.pipe(socket));
  }

  /** Connects to a port of the guest. */
  async dial(port: number): Promise<Socket> {
    const connection = await this.host.dial(port, { timeoutMs: 30_000 });
    return connection.stream() as Socket;
  }

  /** A bare connection to PATH. */
  async knock(): Promise<Socket> {
    const socket = createConnection({ path: this.path, allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const machine of this.#machines) machine[Symbol.dispose]();
    this.device[Symbol.dispose]();
    await this.host[Symbol.asyncDispose]();
    for (const server of this.#servers) server.close();
    rmSync(this.directory, { recursive: true });
  }
}

/** All that comes until the end. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** Bytes that show where they are from: no two positions near each other are alike. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index++)
    bytes[index] = (index * 31 + (index >> 8) * seed + (index >> 16) * 7) & 0xff;
  return bytes;
}
