import { randomBytes } from 'node:crypto';
import type { Logger } from '../log/logger.ts';
import { FdConnection } from '../vsock/connection.ts';
import type { Connection } from '../vsock/transport.ts';
import { ManagementError } from './errors.ts';
import { managementLimits } from './limits.ts';
import { readToken } from './stream-token.ts';

/** A token from when it was given out until a request has its connection, or its time is up. */
interface Ticket {
  readonly owner: object;
  readonly connected: PromiseWithResolvers<Connection>;
  readonly expiry: NodeJS.Timeout;
  connection: Connection | undefined;
  claimed: boolean;
}

/**
 * The connections on the port for streams, each joined to the request that has its token. A token
 * belongs to the client that opened it, is for one connection and for one request.
 */
export class StreamDesk implements Disposable {
  readonly #log: Logger;
  readonly #tickets = new Map<string, Ticket>();
  readonly #handshakes = new Set<AbortController>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Tokens that nobody has used. */
  get waiting(): number {
    return this.#tickets.size;
  }

  /** Gives out tokens. ManagementError 'limit' when `owner` has too many that nobody has used. */
  open(owner: object, count: number): string[] {
    const { streamTokens } = managementLimits;
    const held = [...this.#tickets.values()].filter((ticket) => ticket.owner === owner).length;
    if (held + count > streamTokens) {
      throw new ManagementError('limit', `more than ${streamTokens} streams that nobody uses`);
    }
    return Array.from({ length: count }, () => this.#issue(owner));
  }

  #issue(owner: object): string {
    const token = randomBytes(16).toString('hex');
    const connected = Promise.withResolvers<Connection>();
    connected.promise.catch(() => {}); // Nobody may have come to wait for it.
    const { streamTokenMs } = managementLimits;
    const expiry = setTimeout(
      () => this.#drop(token, `no stream within ${streamTokenMs} ms`),
      streamTokenMs,
    );
    expiry.unref();
    this.#tickets.set(token, { owner, connected, expiry, connection: undefined, claimed: false });
    return token;
  }

  /** Takes a connection of the port over: it has yet to say its token. Never rejects. */
  async welcome(connection: Connection): Promise<void> {
    const { streamHandshakes, streamHandshakeMs } = managementLimits;
    const [oldest] = this.#handshakes;
    if (this.#handshakes.size >= streamHandshakes) oldest?.abort(new Error('too many of them'));
    const { port } = connection;
    const fd = connection.takeFd();
    const handshake = new AbortController();
    const timer = setTimeout(() => handshake.abort(new Error('too late')), streamHandshakeMs);
    this.#handshakes.add(handshake);
    try {
      const token = await readToken(fd, handshake.signal);
      handshake.signal.throwIfAborted();
      if (token === undefined) throw new Error('no token');
      this.#park(token, new FdConnection(fd, port, 'management'));
    } catch (error) {
      fd.close();
      this.#log.debug('stream refused', { error: String(error) });
    } finally {
      clearTimeout(timer);
      this.#handshakes.delete(handshake);
    }
  }

  #park(token: string, connection: Connection): void {
    const ticket = this.#tickets.get(token);
    if (ticket === undefined || ticket.connection !== undefined) {
      connection.close();
      return;
    }
    ticket.connection = connection;
    ticket.connected.resolve(connection);
  }

  /**
   * The connection of a token, which is the caller's from now on; waits for it as long as the token
   * is good. ManagementError 'stream-not-found', or the signal's reason.
   */
  async claim(
    owner: object,
    token: string,
    field: string,
    signal: AbortSignal,
  ): Promise<Connection> {
    const ticket = this.#tickets.get(token);
    if (ticket === undefined || ticket.owner !== owner || ticket.claimed) {
      throw new ManagementError('stream-not-found', `${field}: no such stream`, { field });
    }
    ticket.claimed = true;
    const onAbort = (): void => this.#drop(token, 'the request was given up');
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      signal.throwIfAborted();
      const connection = await ticket.connected.promise;
      signal.throwIfAborted();
      this.#forget(token, ticket);
      return connection;
    } catch (error) {
      this.#drop(token, 'the request failed');
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Ends what a client has not used. */
  release(owner: object): void {
    for (const [token, ticket] of this.#tickets) {
      if (ticket.owner === owner) this.#drop(token, 'its client has gone');
    }
  }

  [Symbol.dispose](): void {
    for (const handshake of this.#handshakes) handshake.abort(new Error('the agent ends'));
    for (const token of [...this.#tickets.keys()]) this.#drop(token, 'the agent ends');
  }

  #forget(token: string, ticket: Ticket): void {
    clearTimeout(ticket.expiry);
    this.#tickets.delete(token);
  }

  #drop(token: string, reason: string): void {
    const ticket = this.#tickets.get(token);
    if (ticket === undefined) return;
    this.#forget(token, ticket);
    ticket.connection?.close();
    ticket.connected.reject(new ManagementError('stream-not-found', `stream: ${reason}`));
  }
}
