import type { DescriptorStore } from '../os/descriptor-store.ts';
import { Fd } from '../os/fd.ts';
import { shutdown } from '../os/socket.ts';
import { type StreamName, streamNames } from './stdio.ts';

/** Both ends of a pipe that stays inside the agent. */
export interface PipeEnds {
  read: Fd;
  write: Fd;
}

/**
 * What a kept descriptor is: the process's pipe (or, of stream `t`, its terminal's master), the
 * pipe between a terminal and a connection, the connection to the host, the log file.
 */
export type KeptPart = 'p' | 'm' | 'h' | 'l';

/** `s<N>.<0|1|2|t>.<part>`: what the descriptor store calls it. */
function keptName(number: number, stream: StreamName | 'terminal', part: KeptPart): string {
  return `s${number}.${stream === 'terminal' ? 't' : streamNames.indexOf(stream)}.${part}`;
}

/**
 * A descriptor that the store has too, until it is closed here. The store's duplicate would keep a
 * connection open, so a socket is shut down: its peer sees the end now and not when the store has
 * followed.
 */
class KeptFd extends Fd {
  readonly #isSocket: boolean;
  readonly #drop: () => void;

  constructor(fd: Fd, isSocket: boolean, drop: () => void) {
    super(fd.take());
    this.#isSocket = isSocket;
    this.#drop = drop;
  }

  override take(): number {
    const raw = super.take();
    this.#drop();
    return raw;
  }

  override close(): void {
    if (!this.open) return;
    try {
      if (this.#isSocket) shutdown(this, 'both');
    } finally {
      super.close();
      this.#drop();
    }
  }
}

/**
 * Keeps the descriptors of one process's streams in the store of the agent's parent, so that an
 * agent that takes the place of this one can go on with them. A descriptor is kept before it can
 * carry a byte, and dropped when it is closed.
 */
export class StdioKeeper {
  readonly number: number;
  readonly #store: DescriptorStore;

  /** @param number of the process's streams, which no other process of this store has. */
  constructor(store: DescriptorStore, number: number) {
    this.#store = store;
    this.number = number;
  }

  /** Takes the descriptor over; what is returned is it, and dropped from the store when closed. */
  keep(stream: StreamName | 'terminal', part: Exclude<KeptPart, 'm'>, fd: Fd): Fd {
    this.#store.keep(keptName(this.number, stream, part), [fd]);
    return this.adopt(stream, part, fd);
  }

  /** The same for both ends of a pipe under one name; dropped when both are closed. */
  keepPipe(stream: StreamName, ends: PipeEnds): PipeEnds {
    this.#store.keep(keptName(this.number, stream, 'm'), [ends.read, ends.write]);
    return this.adoptPipe(stream, ends);
  }

  /** As keep(), of a descriptor that came out of the store. */
  adopt(stream: StreamName | 'terminal', part: Exclude<KeptPart, 'm'>, fd: Fd): Fd {
    const name = keptName(this.number, stream, part);
    return new KeptFd(fd, part === 'h', () => this.#store.drop(name));
  }

  /** As keepPipe(), of a pipe that came out of the store. */
  adoptPipe(stream: StreamName, ends: PipeEnds): PipeEnds {
    const name = keptName(this.number, stream, 'm');
    let open = 2;
    const drop = (): void => {
      open -= 1;
      if (open === 0) this.#store.drop(name);
    };
    return {
      read: new KeptFd(ends.read, false, drop),
      write: new KeptFd(ends.write, false, drop),
    };
  }
}
