import type { Duplex } from 'node:stream';
import type { Notification, Reply, RequestInput } from '../bridge/catalogue.ts';
import { catalogue } from '../bridge/catalogue.ts';
import { encodeFrame, type Frame, FrameDecoder, FrameError } from '../bridge/frame.ts';
import { bridgeLimits } from '../bridge/limits.ts';
import {
  CONTAINER_NOTIFICATION,
  describeType,
  type RequestName,
  replyTypeOf,
  ZERO_GUID,
} from '../bridge/message-types.ts';
import { encodeJson } from '../schema/json-text.ts';
import { abortable } from './abortable.ts';
import { decodeNotification, decodeReply, toGuestError } from './decode.ts';
import { BridgeError } from './errors.ts';

export interface RpcOptions {
  /**
   * Ends the wait with the signal's reason. The protocol knows no cancellation: the guest goes on
   * with the request, and its late reply is dropped.
   */
  readonly signal?: AbortSignal;
  /** Milliseconds until the wait ends with BridgeError 'timeout', in the same way; default: no limit. */
  readonly timeoutMs?: number;
}

export interface BridgeOptions {
  /**
   * Default true: like hcsshim's host, end the bridge at the first breach of the protocol. False:
   * ignore what can be ignored.
   */
  readonly strict?: boolean;
  /** Called for every notification; what it returns is a breach of the protocol. */
  readonly onNotification: (message: Notification) => string | undefined;
  /** Called once, when the bridge has ended. */
  readonly onEnd: (failure: BridgeError) => void;
}

interface Pending {
  readonly name: RequestName;
  /** Undefined once the caller has stopped waiting: the reply is still due, and dropped. */
  settle: { resolve(reply: object): void; reject(error: Error): void } | undefined;
}

/** The host's end of one bridge connection: requests with their replies, and notifications. */
export class GuestBridge {
  readonly #stream: Duplex;
  readonly #strict: boolean;
  readonly #options: BridgeOptions;
  readonly #decoder: FrameDecoder;
  readonly #pending = new Map<bigint, Pending>();
  #nextId = 0n;
  #failure: BridgeError | undefined;

  /** Owns the stream from now on. */
  constructor(stream: Duplex, options: BridgeOptions) {
    this.#stream = stream;
    this.#strict = options.strict ?? true;
    this.#options = options;
    this.#decoder = new FrameDecoder(
      this.#strict ? bridgeLimits.replyBytes : bridgeLimits.frameBytes,
    );
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('end', () => this.#ended());
    stream.on('error', (cause) => {
      this.#fail(new BridgeError('lost', `the bridge broke: ${cause.message}`, { cause }));
    });
    stream.on('close', () => this.#ended());
  }

  /** Why it ended; undefined while it lives. */
  get failure(): BridgeError | undefined {
    return this.#failure;
  }

  /** Requests whose reply is still due. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Sends a request and resolves with its reply. Rejects with GuestError when the guest refuses,
   * BridgeError when the bridge is gone, or the signal's reason.
   */
  async rpc<N extends RequestName>(
    name: N,
    request: RequestInput<N>,
    options: RpcOptions = {},
  ): Promise<Reply<N>> {
    options.signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    const entry = this.#send(name, request);
    const limit =
      options.timeoutMs === undefined ? undefined : new Timeout(options.timeoutMs, name);
    const signals = [options.signal, limit?.signal].filter((signal) => signal !== undefined);
    try {
      const [only, ...more] = signals;
      const signal = more.length === 0 ? only : AbortSignal.any(signals);
      return (await abortable(entry.reply, signal)) as Reply<N>;
    } finally {
      limit?.clear();
      entry.pending.settle = undefined;
    }
  }

  /** The guest broke the protocol: ends a strict bridge. Returns the error for the caller to throw. */
  breach(what: string): BridgeError {
    const error = new BridgeError('protocol', `the guest broke the protocol: ${what}`);
    if (this.#strict) this.#fail(error);
    return error;
  }

  /** Ends the bridge; outstanding and later requests fail with BridgeError 'closed'. */
  close(): void {
    this.#fail(new BridgeError('closed', 'the bridge was closed by this host'));
  }

  #send<N extends RequestName>(name: N, request: RequestInput<N>) {
    const { type, request: schema } = catalogue[name];
    const encode = schema.encode as (value: RequestInput<N>) => unknown;
    const frame = encodeFrame(
      type,
      this.#nextId,
      encodeJson(encode({ ActivityId: ZERO_GUID, ...request })),
    );
    if (frame.length > bridgeLimits.frameBytes) {
      const sizes = `${frame.length} bytes, the guest takes ${bridgeLimits.frameBytes}`;
      throw new BridgeError('invalid-request', `the ${name} request is too long: ${sizes}`);
    }
    const { promise: reply, ...settle } = Promise.withResolvers<object>();
    // A caller that stopped waiting has nobody to hear of a late failure.
    reply.catch(() => {});
    const pending: Pending = { name, settle };
    this.#pending.set(this.#nextId, pending);
    this.#nextId += 1n;
    this.#stream.write(frame);
    return { pending, reply };
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#decoder.push(chunk)) {
        if (this.#failure !== undefined) return;
        this.#dispatch(frame);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      // Nothing behind a wrong header can be understood, however lenient one is.
      this.#fail(new BridgeError('protocol', `the guest broke the framing: ${error.message}`));
    }
  }

  #dispatch(frame: Frame): void {
    if (frame.type === CONTAINER_NOTIFICATION) this.#notified(frame);
    else if (frame.type >>> 28 === 2) this.#replied(frame);
    else this.breach(`a message of type ${describeType(frame.type)}`);
  }

  #notified(frame: Frame): void {
    if (frame.id !== 0n) {
      this.breach(`a notification with the id ${frame.id}`);
      if (this.#strict) return;
    }
    const message = decodeNotification(frame.payload, this.#strict);
    const problem = typeof message === 'string' ? message : this.#options.onNotification(message);
    if (problem !== undefined) this.breach(problem);
  }

  #replied(frame: Frame): void {
    const pending = this.#pending.get(frame.id);
    if (pending === undefined) {
      this.breach(`${describeType(frame.type)} answers the id ${frame.id}, which nobody asked`);
      return;
    }
    const { name, settle } = pending;
    const expected = replyTypeOf(catalogue[name].type);
    if (frame.type !== expected) {
      this.breach(`a reply to ${name} of type ${describeType(frame.type)}`);
      if (this.#strict) return;
    }
    this.#pending.delete(frame.id);
    const reply = decodeReply(name, frame.payload, this.#strict);
    if (typeof reply === 'string') settle?.reject(this.breach(reply));
    else if (reply.Result !== 0) settle?.reject(toGuestError(name, reply));
    else settle?.resolve(reply);
  }

  #ended(): void {
    const partial = this.#decoder.buffered;
    const where = partial === 0 ? '' : `, ${partial} bytes into a message`;
    this.#fail(new BridgeError('lost', `the guest closed the bridge${where}`));
  }

  #fail(failure: BridgeError): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.#stream.destroy();
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { settle } of pending) settle?.reject(failure);
    this.#options.onEnd(failure);
  }
}

/** A limit for one request, whose timer ends with it. */
class Timeout {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(milliseconds: number, name: RequestName) {
    this.#timer = setTimeout(() => {
      const message = `the guest did not answer ${name} within ${milliseconds} ms`;
      this.#controller.abort(new BridgeError('timeout', message));
    }, milliseconds);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}
