import { constants } from 'node:os';
import { check, hasCode, OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { FdPoll, untilReady } from './poll.ts';
import { sendFds } from './rights.ts';

const { errno } = constants;

/** Longest request that init takes, and longest reply it gives, in bytes (native/init/channel.c). */
const REQUEST_MAX = 256;
const REPLY_MAX = 4096;
/** Descriptors of one entry of the store (native/init/store.c). */
const REPLY_FDS_MAX = 4;

/**
 * Who started the agent: our init, PID 1 of a virtual machine that is the agent's own; our
 * supervisor, which is the same program on a machine that is not (`bin/gcs -supervise`); or
 * somebody else. Both say in GCS_INIT_FD which descriptor is the channel, and the supervisor says
 * its pid in GCS_INIT_SUPERVISOR. The variables alone prove nothing, since anybody inherits them.
 */
export function startedBy(
  env: Readonly<NodeJS.ProcessEnv> = process.env,
  parent: number = process.ppid,
): 'init' | 'supervisor' | undefined {
  if (env.GCS_INIT_FD === undefined) return undefined;
  if (env.GCS_INIT_SUPERVISOR === undefined) return parent === 1 ? 'init' : undefined;
  return env.GCS_INIT_SUPERVISOR === `${parent}` ? 'supervisor' : undefined;
}

/** One packet from init. Whoever gets it owns the descriptors. */
export interface InitReply {
  readonly text: string;
  readonly fds: readonly Fd[];
}

interface Waiter {
  resolve(reply: InitReply): void;
  reject(error: unknown): void;
}

interface Unsent {
  readonly bytes: Uint8Array;
  /** Ours: the caller may close its own before they are sent. */
  readonly fds: readonly Fd[];
  readonly waiter: Waiter;
}

/**
 * The agent's end of the channel to init: a SOCK_SEQPACKET pair, one packet of text a request, one
 * packet of text a reply ("ok …" or "error REASON"), with descriptors in both directions. Requests
 * are sent at once and answered in their order.
 */
export class InitChannel implements Disposable {
  /** Whether the machine is the agent's own, to be configured and powered off. */
  readonly ownsMachine: boolean;
  readonly #fd: Fd;
  readonly #poll: FdPoll;
  readonly #bytes = Buffer.alloc(REPLY_MAX);
  readonly #end = new AbortController();
  #waiting: Waiter[] = [];
  #unsent: Unsent[] = [];
  #sendingRest: Promise<void> | undefined;
  #failure: unknown;
  #lost = false;

  /** Takes the descriptor over. */
  constructor(fd: Fd, options: { ownsMachine?: boolean } = {}) {
    this.#fd = fd;
    this.ownsMachine = options.ownsMachine ?? false;
    check('fcntl', native().setNonBlock(fd.raw, true));
    this.#poll = new FdPoll(fd.raw, { read: true }, () => this.#receive());
    this.#poll.unref();
  }

  /**
   * The channel this process was started with, undefined where nobody of ours has. To be called
   * once, before anything is started: a container that inherited the descriptor could power the
   * machine off, so it is made close-on-exec and the variables are removed. Throws OsError when
   * GCS_INIT_FD names no open descriptor.
   */
  static fromEnvironment(env: NodeJS.ProcessEnv = process.env): InitChannel | undefined {
    const parent = startedBy(env);
    if (parent === undefined) return undefined;
    const number = Number(env.GCS_INIT_FD);
    delete env.GCS_INIT_FD;
    delete env.GCS_INIT_SUPERVISOR;
    using inherited = new Fd(number);
    return new InitChannel(inherited.dup(), { ownsMachine: parent === 'init' });
  }

  /** False once init, or we, have closed the channel. */
  get open(): boolean {
    return this.#failure === undefined && !this.#lost;
  }

  /**
   * Sends one request with copies of `fds`, before it returns unless the socket is full, and
   * resolves with the reply. What the kernel has taken reaches init also when this process is
   * killed right after. Rejects with OsError: EMSGSIZE when the request is too long, ECONNRESET or
   * EPIPE when init has closed the channel.
   */
  async send(text: string, fds: readonly Fd[] = []): Promise<InitReply> {
    const bytes = Buffer.from(text);
    if (bytes.length > REQUEST_MAX) {
      throw new OsError('sendmsg', errno.EMSGSIZE, `${bytes.length} bytes to init`);
    }
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<InitReply>();
    const waiter = { resolve, reject };
    if (this.#unsent.length > 0 || !this.#sendNow(bytes, fds, waiter)) {
      this.#unsent.push({ bytes, fds: copies(fds), waiter });
      this.#sendingRest ??= this.#sendRest();
    }
    return promise;
  }

  /** As send, for a request whose reply carries no descriptors. */
  async request(text: string): Promise<string> {
    const { text: reply, fds } = await this.send(text);
    for (const fd of fds) fd.close();
    return reply;
  }

  /** Resolves when the kernel has taken everything sent so far: at once, unless init is very busy. */
  async flush(): Promise<void> {
    await this.#sendingRest;
  }

  [Symbol.dispose](): void {
    this.#fail(new OsError('sendmsg', errno.EPIPE, 'the channel to init is closed'));
  }

  /** False when the socket is full. */
  #sendNow(bytes: Uint8Array, fds: readonly Fd[], waiter: Waiter): boolean {
    try {
      sendFds(this.#fd, bytes, fds);
    } catch (error) {
      if (hasCode(error, 'EAGAIN')) return false;
      // Init's end is closed, and what it has answered before still to be read.
      if (hasCode(error, 'EPIPE') || hasCode(error, 'ECONNRESET')) this.#lost = true;
      waiter.reject(error);
      return true;
    }
    this.#waiting.push(waiter);
    this.#poll.ref();
    return true;
  }

  async #sendRest(): Promise<void> {
    // A second number, since the first one is watched for replies.
    using writer = this.#fd.dup();
    try {
      for (let next = this.#unsent[0]; next !== undefined; next = this.#unsent[0]) {
        await untilReady(writer.raw, { write: true }, { signal: this.#end.signal });
        while (next !== undefined && this.#sendNow(next.bytes, next.fds, next.waiter)) {
          for (const fd of next.fds) fd.close();
          this.#unsent.shift();
          next = this.#unsent[0];
        }
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#sendingRest = undefined;
    }
  }

  #receive(): void {
    const out = new Int32Array(2 + REPLY_FDS_MAX);
    while (this.#failure === undefined) {
      const length = native().receiveFds(this.#fd.raw, this.#bytes, out);
      if (length === -errno.EAGAIN) break;
      // Told once, before the replies that came while something of ours was still unread.
      if (length === -errno.ECONNRESET) continue;
      if (length <= 0) {
        const code = length === 0 ? errno.ECONNRESET : -length;
        this.#fail(new OsError('recvmsg', code, 'init has closed the channel'));
        return;
      }
      const [count = 0, , ...raws] = out;
      const fds = raws.slice(0, count).map((raw) => new Fd(raw));
      const waiter = this.#waiting.shift();
      if (waiter === undefined) for (const fd of fds) fd.close();
      else waiter.resolve({ text: this.#bytes.toString('utf8', 0, length), fds });
    }
    if (this.#waiting.length === 0 && this.#failure === undefined) this.#poll.unref();
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#end.abort(error);
    this.#poll.close();
    this.#fd.close();
    const unsent = this.#unsent;
    const waiting = this.#waiting;
    this.#unsent = [];
    this.#waiting = [];
    for (const { fds, waiter } of unsent) {
      for (const fd of fds) fd.close();
      waiter.reject(error);
    }
    for (const waiter of waiting) waiter.reject(error);
  }
}

/** All or none. */
function copies(fds: readonly Fd[]): Fd[] {
  const made: Fd[] = [];
  try {
    for (const fd of fds) made.push(fd.dup());
  } catch (error) {
    for (const fd of made) fd.close();
    throw error;
  }
  return made;
}
