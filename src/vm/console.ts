import { EventEmitter, once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { LogFile } from './log-file.ts';

/** What a line on the console tells of the guest's start. */
export type ConsoleMarker = 'init' | 'agent';

const MARKERS: readonly (readonly [ConsoleMarker, RegExp])[] = [
  ['init', /\binit: start$/],
  ['agent', /\binit: \S+ started, pid \d+$/],
];

/** Bytes of a client that does not read, before it is dropped. */
const CLIENT_BACKLOG = 1024 ** 2;

/** The guest's serial console: kept in a file, shown to and typed into by every client of a socket. */
export class GuestConsole extends EventEmitter<{ marker: [ConsoleMarker] }> implements Disposable {
  readonly #stream: Duplex;
  readonly #log: LogFile;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  readonly #seen = new Set<ConsoleMarker>();
  #line = '';

  constructor(stream: Duplex, logFile: string) {
    super();
    this.#stream = stream;
    this.#log = new LogFile(logFile);
    this.#server = createServer((client) => this.#admit(client));
    stream.on('error', () => {});
    stream.on('data', (bytes: Buffer) => this.#output(bytes));
  }

  async listen(socket: string): Promise<void> {
    this.#server.listen(socket);
    await once(this.#server, 'listening');
  }

  [Symbol.dispose](): void {
    this.#server.close();
    for (const client of this.#clients) client.destroy();
    this.#stream.destroy();
    this.#log[Symbol.dispose]();
  }

  #admit(client: Socket): void {
    this.#clients.add(client);
    client.on('error', () => {});
    client.once('close', () => this.#clients.delete(client));
    client.on('data', (bytes: Buffer) => this.#stream.write(bytes));
  }

  #output(bytes: Buffer): void {
    this.#log.append(bytes);
    for (const client of this.#clients) {
      if (client.writableLength > CLIENT_BACKLOG) client.destroy();
      else client.write(bytes);
    }
    if (this.#seen.size < MARKERS.length) this.#look(bytes.toString('latin1'));
  }

  #look(text: string): void {
    const lines = (this.#line + text).split('\n');
    // A guest may write without ever ending a line.
    this.#line = (lines.pop() ?? '').slice(-4096);
    for (const line of lines) {
      for (const [marker, pattern] of MARKERS) {
        if (this.#seen.has(marker) || !pattern.test(line.trimEnd())) continue;
        this.#seen.add(marker);
        this.emit('marker', marker);
      }
    }
  }
}
