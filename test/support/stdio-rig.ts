/** A process with relayed streams and the host at their other ends, without a bridge in between. */
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import type { Duplex } from 'node:stream';
import { afterEach } from 'vitest';
import { hasCode } from '../../src/os/errors.ts';
import type { Fd } from '../../src/os/fd.ts';
import { exitCodeOf } from '../../src/os/process.ts';
import { openPty, type WindowSize } from '../../src/os/pty.ts';
import type { Reaper } from '../../src/os/reaper.ts';
import { socketPair, toDuplex } from '../../src/os/socket.ts';
import { ConnectionSet } from '../../src/stdio/connection-set.ts';
import { PipeRelay } from '../../src/stdio/pipe-relay.ts';
import { ProcessPipes } from '../../src/stdio/process-pipes.ts';
import type { DrainPolicy, StdioPorts, StdioSession, StreamName } from '../../src/stdio/stdio.ts';
import { TtyRelay } from '../../src/stdio/tty-relay.ts';
import { FdConnection } from '../../src/vsock/connection.ts';
import {
  type Connection,
  type Listener,
  type Port,
  type Transport,
  TransportError,
} from '../../src/vsock/transport.ts';
import { requireNothingLeft, useReaper } from './process-suite.ts';

const ports: Record<StreamName, Port> = { stdin: 1, stdout: 2, stderr: 3 };

/** Writes zeros to a non-blocking descriptor until it takes no more; returns how many. */
export function fillUp(fd: Fd): number {
  const block = Buffer.alloc(65_536);
  let total = 0;
  for (;;) {
    try {
      total += writeSync(fd.raw, block);
    } catch (error) {
      if (hasCode(error, 'EAGAIN')) return total;
      throw error;
    }
  }
}

/** Each dial makes a socket pair and keeps the host's end. */
export class PairTransport implements Transport {
  readonly name = 'pairs';
  readonly dialed: Port[] = [];
  readonly hostEnds = new Map<Port, Fd>();
  /** Dials of this port are refused. */
  refuse: Port | undefined;
  /** Connections to this port are full from the start, with `filling` bytes the host has to read first. */
  full: Port | undefined;
  filling = 0;

  async dial(port: Port, options: { signal?: AbortSignal } = {}): Promise<Connection> {
    options.signal?.throwIfAborted();
    this.dialed.push(port);
    if (port === this.refuse)
      throw new TransportError('refused', 'nobody listens', { transport: this.name, port });
    const [near, far] = socketPair();
    this.hostEnds.set(port, far);
    if (port === this.full) this.filling = fillUp(near);
    return new FdConnection(near, port, this.name);
  }

  async listen(port: Port): Promise<Listener> {
    throw new TransportError('unsupported', 'no listening', { transport: this.name, port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const fd of this.hostEnds.values()) fd.close();
  }
}

/** The host's side of the streams: raw until one is asked for as a stream. */
export class HostEnds {
  readonly #fds: Map<Port, Fd>;
  readonly #streams = new Map<StreamName, Duplex>();

  /** Bytes that were in the full connection before the process's own. */
  readonly filling: number;

  constructor(fds: Map<Port, Fd>, filling: number) {
    this.#fds = fds;
    this.filling = filling;
  }

  /** The descriptor, while it is not a stream. */
  fd(name: StreamName): Fd {
    const fd = this.#fds.get(ports[name]);
    if (fd === undefined) throw new Error(`no ${name}`);
    return fd;
  }

  /** From now on read or written as a stream. An error of it is its user's to see, or nobody's. */
  stream(name: StreamName): Duplex {
    let stream = this.#streams.get(name);
    if (stream === undefined) {
      stream = toDuplex(this.fd(name));
      stream.on('error', () => {});
      this.#streams.set(name, stream);
    }
    return stream;
  }

  /** Reads to the end, then closes, as the real host does. */
  async readAll(name: StreamName): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.stream(name)) chunks.push(chunk as Buffer);
    this.stream(name).destroy();
    return Buffer.concat(chunks);
  }

  close(name: StreamName): void {
    const stream = this.#streams.get(name);
    if (stream === undefined) this.fd(name).close();
    else stream.destroy();
  }

  closeAll(): void {
    for (const stream of this.#streams.values()) stream.destroy();
    for (const fd of this.#fds.values()) fd.close();
  }
}

export async function connect(
  names: readonly StreamName[],
  options: { full?: StreamName } = {},
): Promise<{ connections: ConnectionSet; host: HostEnds }> {
  const transport = new PairTransport();
  if (options.full !== undefined) transport.full = ports[options.full];
  const wanted: StdioPorts = {};
  for (const name of names) wanted[name] = ports[name];
  const connections = await ConnectionSet.dial(transport, wanted);
  return { connections, host: new HostEnds(transport.hostEnds, transport.filling) };
}

export interface Running {
  pid: number;
  host: HostEnds;
  session: StdioSession;
  /** The exit code; the session has been told by then. */
  exit: Promise<number>;
  signal(signal: number): void;
}

export interface RunOptions {
  streams?: readonly StreamName[];
  policy?: Partial<DrainPolicy>;
  size?: WindowSize;
  /** A stream whose connection is full until the host has read something. */
  full?: StreamName;
}

/** Bounds that no test reaches unless it sets its own. */
const patient: DrainPolicy = { grandchildMs: 600_000, hostCloseMs: 600_000 };
const env = [`PATH=${process.env.PATH}`];

function follow(
  child: ReturnType<Reaper['spawn']>,
  session: StdioSession,
  host: HostEnds,
): Running {
  const exit = child.exited.then((status) => {
    session.processExited();
    return exitCodeOf(status);
  });
  return { pid: child.pid, host, session, exit, signal: (signal) => void child.signal(signal) };
}

/** Runs a program with pipes. */
export async function runPiped(
  reaper: Reaper,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Running> {
  const streams = options.streams ?? ['stdin', 'stdout', 'stderr'];
  const { connections, host } = await connect(streams, options);
  const wanted = Object.fromEntries(streams.map((name) => [name, true]));
  using pipes = new ProcessPipes(wanted, 'dev-null');
  const child = reaper.spawn({ file: args[0] ?? '', args, env, stdio: pipes.stdio });
  pipes.closeProcessEnds();
  const policy = { ...patient, ...options.policy };
  const session = new PipeRelay({ connections, pipes: pipes.takeAgentEnds(), policy });
  return follow(child, session, host);
}

/** Runs a program on a terminal. */
export async function runOnTerminal(
  reaper: Reaper,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Running> {
  const { connections, host } = await connect(options.streams ?? ['stdin', 'stdout'], options);
  const { master, path } = openPty(options.size);
  const child = reaper.spawn({ file: args[0] ?? '', args, env, stdio: [], terminal: path });
  const policy = { ...patient, ...options.policy };
  const session = new TtyRelay({ connections, master, policy });
  return follow(child, session, host);
}

/** Runs scripts in the tests of a file, each ended after its test, which may leave nothing. */
export function useRelays(start: typeof runPiped): {
  reaper: () => Reaper;
  run: (script: string, options?: RunOptions) => Promise<Running>;
} {
  requireNothingLeft();
  const reaper = useReaper();
  const running: Running[] = [];
  afterEach(async () => {
    for (const { host, session, signal } of running.splice(0)) {
      signal(constants.signals.SIGKILL);
      host.closeAll();
      session.abort();
      await session.closed;
    }
  });
  const run = async (script: string, options: RunOptions = {}): Promise<Running> => {
    const each = await start(reaper(), sh(script), options);
    running.push(each);
    return each;
  };
  return { reaper, run };
}

/** `sh -c SCRIPT`. */
export const sh = (script: string): string[] => ['/bin/sh', '-c', script];
