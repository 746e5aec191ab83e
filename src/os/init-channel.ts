import { constants } from 'node:os';
import { check, OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { receiveFds, sendFds } from './rights.ts';

/** Longest request that init takes, in bytes (native/init/channel.c). */
const REQUEST_MAX = 256;

/**
 * True when PID 1 is our init: it starts the agent as its child and says in GCS_INIT_FD which
 * descriptor is the channel. The variable alone proves nothing, since anybody inherits it.
 */
export function underOurInit(
  env: Readonly<NodeJS.ProcessEnv> = process.env,
  parent: number = process.ppid,
): boolean {
  return env.GCS_INIT_FD !== undefined && parent === 1;
}

/**
 * The agent's end of the channel to init: a SOCK_SEQPACKET pair, one packet of text a request, one
 * packet of text a reply ("ok" or "error REASON"). Requests are answered in their order.
 */
export class InitChannel implements Disposable {
  readonly #fd: Fd;
  #last: Promise<unknown> = Promise.resolve();

  /** Takes the descriptor over. */
  constructor(fd: Fd) {
    this.#fd = fd;
    check('fcntl', native().setNonBlock(fd.raw, true));
  }

  /**
   * The channel this process was started with, undefined where PID 1 is not our init. To be called
   * once, before anything is started: a container that inherited the descriptor could power the
   * machine off, so it is made close-on-exec and the variable is removed. Throws OsError when
   * GCS_INIT_FD names no open descriptor.
   */
  static fromEnvironment(env: NodeJS.ProcessEnv = process.env): InitChannel | undefined {
    if (!underOurInit(env)) return undefined;
    const number = Number(env.GCS_INIT_FD);
    delete env.GCS_INIT_FD;
    using inherited = new Fd(number);
    return new InitChannel(inherited.dup());
  }

  /**
   * Sends one request and resolves with its reply. Rejects with OsError: EMSGSIZE when the request
   * is too long, ECONNRESET or EPIPE when init has closed the channel.
   */
  request(text: string): Promise<string> {
    const reply = this.#last.then(() => this.#exchange(text));
    this.#last = reply.catch(() => {});
    return reply;
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }

  async #exchange(text: string): Promise<string> {
    const bytes = Buffer.from(text);
    if (bytes.length > REQUEST_MAX) {
      throw new OsError('sendmsg', constants.errno.EMSGSIZE, `${bytes.length} bytes to init`);
    }
    // A packet goes whole or not at all, and init reads whenever it is told of one.
    sendFds(this.#fd, bytes, []);
    const { fds, data } = await receiveFds(this.#fd);
    for (const fd of fds) fd.close();
    return data.toString();
  }
}
