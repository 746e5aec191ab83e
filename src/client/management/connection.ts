import type { Duplex } from 'node:stream';
import {
  CancellationTokenSource,
  createMessageConnection,
  type MessageConnection,
  ResponseError,
} from 'vscode-jsonrpc/node';
import {
  type MethodName,
  methods,
  type NotificationName,
  type NotificationParams,
  notifications,
  type ParamsInput,
  type Progress,
  progress,
  type Result,
} from '../../management/contract.ts';
import type { ManagementErrorData } from '../../management/errors.ts';
import { LimitedMessageReader } from '../../management/rpc/reader.ts';
import { ExactMessageWriter } from '../../management/rpc/writer.ts';
import { type Schema, SchemaError } from '../../schema/schema.ts';
import { ManagementConnectionError, ManagementRequestError } from './errors.ts';

/** What an agent may answer with: the longest is the output of an exec-sync. */
const LIMITS = { headerBytes: 1024, messageBytes: 64 * 1024 * 1024 };

export interface CallOptions {
  /** Aborting asks the agent to give the request up, and rejects with the reason at once. */
  readonly signal?: AbortSignal | undefined;
  /** For methods with a `progressToken`, which is set for the caller. */
  readonly onProgress?: ((value: Progress) => void) | undefined;
}

type AnyListener = (params: never) => void;

/** JSON-RPC with the agent, typed by the contract. */
export class ManagementConnection {
  /** Resolves with the reason once it has ended, for whatever reason. */
  readonly ended: Promise<ManagementConnectionError>;
  readonly #rpc: MessageConnection;
  readonly #stream: Duplex;
  readonly #end = Promise.withResolvers<ManagementConnectionError>();
  readonly #listeners = new Map<string, Set<AnyListener>>();
  readonly #progress = new Map<string | number, (value: Progress) => void>();
  #failure: ManagementConnectionError | undefined;
  #progressTokens = 0;

  /** Owns `stream`. */
  constructor(stream: Duplex) {
    this.ended = this.#end.promise;
    this.#stream = stream;
    const reader = new LimitedMessageReader(stream, LIMITS, {
      admit: () => true,
      unintelligible: (error) => this.#fail('protocol', error.message),
    });
    const silent = (): void => {};
    const logger = { error: silent, warn: silent, info: silent, log: silent };
    this.#rpc = createMessageConnection(reader, new ExactMessageWriter(stream), logger);
    this.#rpc.onError(([error]) => this.#fail('protocol', error.message));
    this.#rpc.onNotification((method, params) => this.#notified(method, params));
    stream.on('error', (error) => this.#fail('lost', error.message));
    stream.on('end', () => this.#fail('lost', 'the agent has closed the connection'));
    stream.on('close', () => this.#fail('lost', 'the connection is closed'));
    this.#rpc.listen();
  }

  /** Why it has ended; undefined while it lives. */
  get failure(): ManagementConnectionError | undefined {
    return this.#failure;
  }

  /**
   * One request. Rejects with ManagementRequestError when the agent refuses, with
   * ManagementConnectionError when there is no connection (any more).
   */
  async call<M extends MethodName>(
    method: M,
    params: ParamsInput<M>,
    options: CallOptions = {},
  ): Promise<Result<M>> {
    const { signal, onProgress } = options;
    signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    const token = onProgress === undefined ? undefined : this.#watch(onProgress);
    const schema = methods[method].params as unknown as Schema<unknown, object>;
    const encoded = schema.encode(
      token === undefined ? params : { ...params, progressToken: token },
    );
    try {
      const result = await this.#answerTo(method, encoded, signal);
      return methods[method].result.decode(result) as Result<M>;
    } catch (error) {
      throw this.#failureOf(method, error);
    } finally {
      if (token !== undefined) this.#progress.delete(token);
    }
  }

  /** Until it is disposed of. */
  on<N extends NotificationName>(
    name: N,
    listener: (params: NotificationParams<N>) => void,
  ): Disposable {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return { [Symbol.dispose]: () => void listeners.delete(listener) };
  }

  close(): void {
    this.#fail('closed', 'the connection was closed');
  }

  #watch(onProgress: (value: Progress) => void): number {
    this.#progressTokens += 1;
    this.#progress.set(this.#progressTokens, onProgress);
    return this.#progressTokens;
  }

  async #answerTo(
    method: string,
    params: unknown,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const cancellation = new CancellationTokenSource();
    const given = Promise.withResolvers<never>();
    const onAbort = (): void => {
      cancellation.cancel();
      given.reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      const answer = this.#rpc.sendRequest(method, params, cancellation.token);
      answer.catch(() => {}); // Nobody may wait for it any more.
      return await Promise.race([answer, given.promise]);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      cancellation.dispose();
    }
  }

  #failureOf(method: string, error: unknown): unknown {
    if (error instanceof SchemaError) {
      return this.#fail('protocol', `the answer to ${method}: ${error.message}`);
    }
    if (this.#failure !== undefined) return this.#failure;
    if (!(error instanceof ResponseError)) return error;
    const data = (error.data ?? { code: 'failed' }) as ManagementErrorData;
    return new ManagementRequestError(method, error.message, data);
  }

  #notified(method: string, params: unknown): void {
    if (method === '$/progress') {
      const { token, value } = params as { token: string | number; value: unknown };
      this.#progress.get(token)?.(progress.decode(value ?? {}));
      return;
    }
    if (!Object.hasOwn(notifications, method)) return; // Of a newer agent.
    const decoded = notifications[method as NotificationName].params.decode(params);
    for (const listener of this.#listeners.get(method) ?? []) listener(decoded as never);
  }

  #fail(code: ManagementConnectionError['code'], message: string): ManagementConnectionError {
    if (this.#failure !== undefined) return this.#failure;
    const failure = new ManagementConnectionError(code, message);
    this.#failure = failure;
    this.#rpc.dispose();
    this.#stream.destroy();
    this.#end.resolve(failure);
    return failure;
  }
}
