import type { Duplex } from 'node:stream';
import { AgentError } from '../../errors.ts';
import { socketPair, toDuplex } from '../../os/socket.ts';
import { ConnectionSet } from '../../stdio/connection-set.ts';
import type { StreamName } from '../../stdio/stdio.ts';
import type { StreamConnections } from '../management-types.ts';
import { operationLimits } from './limits.ts';

type OutputName = 'stdout' | 'stderr';

/**
 * The host's side of a process that was started without streams: clients come and go, each gets
 * the output from the moment it comes, what any of them sends is stdin. A client too slow to take
 * what it was sent is disconnected; the process never waits for one.
 */
export class AttachHub {
  /** For the process's relay, which takes the hub for a host. */
  readonly connections: ConnectionSet;
  readonly #stdin: Duplex | undefined;
  readonly #clients: Record<OutputName, Set<Duplex>> = { stdout: new Set(), stderr: new Set() };
  readonly #ended = new Set<OutputName>();

  /** Throws OsError (EMFILE) with nothing left open. */
  constructor(streams: Readonly<Partial<Record<StreamName, boolean>>>) {
    const theirs: Partial<Record<StreamName, ReturnType<typeof socketPair>[0]>> = {};
    const ours: Partial<Record<StreamName, Duplex>> = {};
    try {
      for (const name of ['stdin', 'stdout', 'stderr'] as const) {
        if (streams[name] !== true) continue;
        const [relay, hub] = socketPair();
        theirs[name] = relay;
        ours[name] = toDuplex(hub);
      }
    } catch (error) {
      for (const fd of Object.values(theirs)) fd?.close();
      for (const stream of Object.values(ours)) stream?.destroy();
      throw error;
    }
    this.connections = new ConnectionSet({
      stdin: theirs.stdin ?? null,
      stdout: theirs.stdout ?? null,
      stderr: theirs.stderr ?? null,
    });
    this.#stdin = ours.stdin;
    // Its other end closes when the process has ended; an error means the same.
    const { stdin } = ours;
    stdin?.on('error', () => {}).on('end', () => stdin.destroy());
    stdin?.resume();
    for (const name of ['stdout', 'stderr'] as const) {
      const stream = ours[name];
      if (stream === undefined) this.#ended.add(name);
      else this.#deliver(name, stream);
    }
  }

  /** The connections belong to the hub from now on, whatever becomes of the call. */
  attach(streams: StreamConnections): void {
    const joined: Duplex[] = [];
    try {
      this.#checkPlace();
      for (const name of ['stdout', 'stderr'] as const) {
        const client = streams[name]?.stream();
        if (client === undefined) continue;
        joined.push(client);
        this.#join(name, client);
      }
      const input = streams.stdin?.stream();
      if (input !== undefined) this.#joinInput(input);
    } catch (error) {
      for (const client of joined) client.destroy();
      for (const connection of Object.values(streams)) connection?.close();
      throw error;
    }
  }

  /** No more input: the process sees its end after what was sent. */
  closeStdin(): void {
    this.#stdin?.end();
  }

  #checkPlace(): void {
    const attached = Math.max(this.#clients.stdout.size, this.#clients.stderr.size);
    if (attached < operationLimits.attachedClients) return;
    throw new AgentError('limit', `more than ${operationLimits.attachedClients} attached clients`);
  }

  #deliver(name: OutputName, source: Duplex): void {
    const clients = this.#clients[name];
    source.on('data', (chunk: Buffer) => {
      for (const client of clients) {
        if (client.writableLength > operationLimits.attachBufferBytes) client.destroy();
        else client.write(chunk);
      }
    });
    source.on('error', () => {});
    source.on('close', () => {
      this.#ended.add(name);
      for (const client of clients) client.end();
      clients.clear();
    });
    // Half-closed by the relay at the end: it waits for us to close.
    source.on('end', () => source.end());
  }

  #join(name: OutputName, client: Duplex): void {
    const clients = this.#clients[name];
    client.on('error', () => {}); // It has gone, which `close` says as well.
    client.on('close', () => clients.delete(client));
    client.resume(); // What it says on an output means nothing, that it has gone does.
    client.on('end', () => client.end());
    if (this.#ended.has(name)) client.end();
    else clients.add(client);
  }

  #joinInput(client: Duplex): void {
    const stdin = this.#stdin;
    client.on('error', () => {});
    if (stdin === undefined || stdin.destroyed || stdin.writableEnded) {
      client.destroy();
      return;
    }
    // Its end is not the end of stdin: another client may come.
    client.pipe(stdin, { end: false });
    const gone = (): void => {
      client.destroy();
    };
    stdin.once('close', gone);
    client.on('end', () => client.end());
    client.on('close', () => {
      client.unpipe(stdin);
      stdin.off('close', gone);
    });
  }
}
