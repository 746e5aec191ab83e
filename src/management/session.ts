import type { Duplex } from 'node:stream';
import {
  type CancellationToken,
  createMessageConnection,
  type Message,
  type MessageConnection,
  ResponseError,
} from 'vscode-jsonrpc/node';
import type { Logger } from '../log/logger.ts';
import { monotonicNow } from '../os/clock.ts';
import type { LifecycleEvent, ManagementOperations } from '../uvm/management.ts';
import type { Connection } from '../vsock/transport.ts';
import { notifications, type Progress, progress } from './contract.ts';
import { cancelled, type Dispatcher } from './dispatch.ts';
import { errorNumbers, type ManagementErrorCode } from './errors.ts';
import type { Failure } from './failure.ts';
import type { Client, RequestContext, SubscriptionStart } from './handlers/handler.ts';
import { Intake, type PendingRequest, type RequestId } from './intake.ts';
import { managementLimits } from './limits.ts';
import { LimitedMessageReader } from './rpc/reader.ts';
import { ExactMessageWriter } from './rpc/writer.ts';
import type { StreamDesk } from './streams.ts';
import { Subscription } from './subscription.ts';

const frameLimits = {
  headerBytes: managementLimits.headerBytes,
  messageBytes: managementLimits.requestBytes,
};

export interface SessionParts {
  readonly dispatcher: Dispatcher;
  readonly operations: ManagementOperations;
  readonly streams: StreamDesk;
  readonly log: Logger;
  readonly onEnd: (session: ClientSession) => void;
}

/**
 * One client from its connection to its end. The end of what it sends is its end: its requests are
 * given up, its streams nobody used are closed, its subscription is over. What it has started stays.
 */
export class ClientSession implements Client {
  readonly #stream: Duplex;
  readonly #parts: SessionParts;
  readonly #intake = new Intake();
  readonly #writer: ExactMessageWriter;
  readonly #rpc: MessageConnection;
  #current: PendingRequest | undefined;
  #initialized = false;
  #subscription: Subscription | undefined;
  #ended = false;

  /** Owns `stream`. */
  constructor(stream: Duplex, parts: SessionParts) {
    this.#stream = stream;
    this.#parts = parts;
    this.#writer = new ExactMessageWriter(stream);
    const reader = new LimitedMessageReader(stream, frameLimits, {
      admit: (message) => this.#admit(message),
      unintelligible: (error) => this.#refuse(null, 'parse-error', error.message),
    });
    this.#rpc = createMessageConnection(reader, this.#writer, quiet(parts.log), {
      messageStrategy: { handleMessage: (message, next) => this.#handleMessage(message, next) },
    });
    this.#rpc.onRequest((method, params, token) => this.#answer(method, params, token));
    this.#rpc.onError(([error]) => this.#broken(error));
    stream.on('error', (error) => parts.log.debug('client', { error: error.message }));
    stream.on('drain', () => this.#drained());
    stream.on('end', () => this.end());
    stream.on('close', () => this.end());
    this.#rpc.listen();
  }

  get initialized(): boolean {
    return this.#initialized;
  }

  requestsUnderWay(): string[] {
    const now = monotonicNow();
    return [...this.#intake.pending].map(
      ({ id, method, started }) => `${method} (id ${id}) for ${Math.round(now - started)} ms`,
    );
  }

  /** Gives up what is under way and closes the connection once what was written has gone. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const { streams, onEnd } = this.#parts;
    for (const { abort } of this.#intake.pending) abort.abort(cancelled('the client has gone'));
    this.unsubscribe();
    streams.release(this);
    this.#rpc.dispose();
    leave(this.#stream);
    onEnd(this);
  }

  openStreams(count: number): string[] {
    return this.#parts.streams.open(this, count);
  }

  claimStream(token: string, field: string, signal: AbortSignal): Promise<Connection> {
    return this.#parts.streams.claim(this, token, field, signal);
  }

  subscribe(from: number | undefined, epoch: string | undefined): SubscriptionStart {
    this.unsubscribe();
    const position = from === undefined ? undefined : { epoch: epoch ?? '', sequence: from };
    const session = this;
    const sink = {
      get ready() {
        return session.#roomy;
      },
      event: (of: string, event: LifecycleEvent) =>
        session.#notify('event', { epoch: of, ...event }),
      gap: (of: string, first: number, last: number) =>
        session.#notify('events.gap', { epoch: of, from: first, to: last }),
    };
    const { subscription, start } = Subscription.from(this.#parts.operations, sink, position);
    this.#subscription = subscription;
    // The answer to the request is written before the first event.
    setImmediate(() => subscription.resume());
    return start;
  }

  unsubscribe(): void {
    this.#subscription?.[Symbol.dispose]();
    this.#subscription = undefined;
  }

  /** True while the client reads what it gets. */
  get #roomy(): boolean {
    return !this.#ended && this.#writer.unread < managementLimits.unreadBytes;
  }

  #admit(message: unknown): boolean {
    if (this.#ended) return false;
    const verdict = this.#intake.judge(message);
    if (verdict === 'admitted') return true;
    if (verdict !== 'ignored') this.#refuse(verdict.id, verdict.code, verdict.message);
    return false;
  }

  /** The library gives a request's handler no id; what it is about is set for the handler's first, synchronous part. */
  async #handleMessage(
    message: Message,
    next: (message: Message) => void | Promise<void>,
  ): Promise<void> {
    const { id } = message as { id?: unknown };
    this.#current = this.#intake.find(id);
    try {
      const handled = next(message);
      this.#current = undefined;
      await handled;
    } finally {
      this.#intake.done(id);
    }
  }

  async #answer(method: string, params: unknown, token: CancellationToken): Promise<unknown> {
    const request = this.#current;
    if (request === undefined) throw new Error('a request that was not admitted');
    const { abort, id } = request;
    const reason = (): void => abort.abort(cancelled('the request was cancelled'));
    if (token.isCancellationRequested) reason();
    using _listener = disposable(token.onCancellationRequested(reason));
    const context: RequestContext = {
      client: this,
      signal: abort.signal,
      progress: (of, value) => this.#progress(of, value),
    };
    const initialized = this.#initialized;
    try {
      const { dispatcher } = this.#parts;
      const result = await dispatcher.dispatch({ id, method, params, initialized }, context);
      if (method === 'initialize') this.#initialized = true;
      return result;
    } catch (error) {
      const { message, data } = error as Failure;
      throw new ResponseError(errorNumbers[data.code], message, data);
    } finally {
      setImmediate(() => this.#bound());
    }
  }

  #progress(token: string | number | undefined, value: Progress): void {
    // A hint: one that would wait is old news when it comes.
    if (token === undefined || !this.#roomy) return;
    this.#send('$/progress', { token, value: progress.encode(value) });
  }

  #notify<N extends keyof typeof notifications>(name: N, params: object): void {
    const { encode } = notifications[name].params as { encode: (value: never) => unknown };
    this.#send(name, encode(params as never));
    this.#bound();
  }

  #send(method: string, params: unknown): void {
    if (this.#ended) return;
    this.#rpc.sendNotification(method, params).catch(() => {}); // Ended meanwhile.
  }

  #refuse(id: RequestId | null, code: ManagementErrorCode, message: string): void {
    const error = { code: errorNumbers[code], message, data: { code } };
    void this.#writer.write({ jsonrpc: '2.0', id, error } as Message);
    this.#bound();
  }

  /** The client does not speak the protocol: it is told, and that was it. */
  #broken(error: Error): void {
    if (this.#ended) return;
    this.#parts.log.warning('client dropped', { error: error.message });
    this.#refuse(null, 'invalid-request', error.message);
    this.end();
  }

  /** What the client leaves unread is bounded: first it is read no more itself, then it is dropped. */
  #bound(): void {
    if (this.#ended) return;
    if (this.#writer.unread > managementLimits.abandonedBytes) {
      this.#parts.log.warning('client dropped: it does not read', { unread: this.#writer.unread });
      this.#stream.destroy();
      return;
    }
    if (!this.#roomy) this.#stream.pause();
  }

  #drained(): void {
    if (this.#ended) return;
    this.#stream.resume();
    this.#subscription?.resume();
  }
}

/** Closes it once what was written has gone; a client that does not read is not waited for. */
function leave(stream: Duplex): void {
  const gone = (): void => void stream.destroy();
  const timer = setTimeout(gone, managementLimits.lingerMs);
  timer.unref();
  stream.on('close', () => clearTimeout(timer));
  stream.end(gone);
}

function disposable(listener: { dispose(): void }): Disposable {
  return { [Symbol.dispose]: () => listener.dispose() };
}

/** The library's own complaints are about the peer, not about the agent. */
function quiet(log: Logger) {
  const say = (message: string): void => log.debug('client', { message });
  return { error: say, warn: say, info: say, log: say };
}
