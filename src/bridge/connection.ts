import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { ByteChannel, WriteDone } from '../os/byte-channel.ts';
import type { Dispatcher, Outcome } from './dispatch.ts';
import { type Frame, FrameDecoder, FrameError } from './frame.ts';
import { failureOf, Hresult, HresultError } from './hresult.ts';
import type { BridgeLimits } from './limits.ts';
import { describeType, isRequestType, MessageType } from './message-types.ts';
import { Outbox } from './outbox.ts';
import { PendingRequests } from './pending.ts';
import { failureText, replyFrame } from './reply.ts';

export interface ConnectionOptions {
  readonly channel: ByteChannel;
  readonly dispatcher: Pick<Dispatcher, 'dispatch'>;
  readonly limits: BridgeLimits;
  readonly log: Logger;
  /** The host has negotiated; its reply is on the way. */
  readonly onNegotiated: () => void;
}

/**
 * One connection to the host, from its first byte to its loss: frames in, requests handled
 * concurrently, replies out. A connection is never repaired; what it loses the next one does not
 * take over, except notifications.
 */
export class BridgeConnection {
  readonly #options: ConnectionOptions;
  readonly #channel: ByteChannel;
  readonly #decoder: FrameDecoder;
  readonly #pending: PendingRequests;
  readonly #outbox: Outbox;
  /** Of the requests that asked for a signal, to be told of the loss. */
  readonly #aborts = new Set<AbortController>();
  readonly #ended = Promise.withResolvers<string>();
  #frames: Iterator<Frame, void> | undefined;
  #negotiated = false;
  #open = true;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#channel = options.channel;
    this.#decoder = new FrameDecoder(options.limits.frameBytes);
    this.#pending = new PendingRequests(options.limits);
    this.#outbox = new Outbox(options.channel, options.limits, {
      onFull: () => this.#channel.pause(),
      onDrained: () => this.#readOn(),
      onAbandoned: () => this.close('the host does not read its replies'),
    });
    this.#channel.open({
      data: (bytes) => this.#receive(bytes),
      end: () => this.#streamEnded(),
      drained: () => this.#outbox.drained(),
      closed: (error) => {
        if (error !== undefined) this.close(`the connection failed: ${error.message}`);
        else this.close('the connection was closed');
      },
    });
  }

  /** Resolves with the reason when the connection is lost or closed. */
  get ended(): Promise<string> {
    return this.#ended.promise;
  }

  get negotiated(): boolean {
    return this.#negotiated;
  }

  /** Writes one frame in order with the replies. */
  send(frame: Buffer, done: WriteDone): void {
    if (this.#open) this.#outbox.send(frame, done);
    else done(new Error('the connection is closed'));
  }

  /** Ends it. Requests under way are finished, their replies dropped; waits are cancelled. */
  close(reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#outbox.flush();
    this.#channel.destroy();
    const lost = new AgentError('cancelled', `the bridge was lost: ${reason}`);
    for (const abort of this.#aborts) abort.abort(lost);
    this.#ended.resolve(reason);
  }

  /** For DumpStacks. */
  describe(): string {
    const state = this.#negotiated ? 'negotiated' : 'not negotiated';
    const bytes = `${this.#decoder.buffered} bytes of a message in, ${this.#outbox.unreadBytes} bytes unread by the host`;
    return `bridge: ${state}, ${bytes}\n${this.#pending.describe()}`;
  }

  #streamEnded(): void {
    if (!this.#open) return;
    const buffered = this.#decoder.buffered;
    const inside = buffered === 0 ? '' : ` ${buffered} bytes into a message`;
    this.close(`the host closed the connection${inside}`);
  }

  #receive(chunk: Buffer): void {
    this.#frames = this.#decoder.push(chunk);
    this.#handleFrames();
  }

  /** The host has read its replies: goes on where it stopped. */
  #readOn(): void {
    this.#handleFrames();
    if (this.#open && !this.#outbox.full) this.#channel.resume();
  }

  #handleFrames(): void {
    try {
      while (this.#open && !this.#outbox.full) {
        const next = this.#frames?.next();
        if (next === undefined || next.done === true) break;
        this.#handle(next.value);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.#framingBroken(error);
    }
  }

  /** Nothing after this can be understood. Who sent a request is told why, as far as it listens. */
  #framingBroken(error: FrameError): void {
    const { header } = error;
    if (isRequestType(header.type)) {
      const text = failureText('', failureOf(new AgentError('limit', error.message)));
      this.#outbox.send(replyFrame(header.type, header.id, text));
    }
    this.close(error.message);
  }

  #handle({ type, id, payload }: Frame): void {
    let pending: ReturnType<PendingRequests['add']>;
    try {
      pending = this.#pending.add(type, id, payload.length);
    } catch (error) {
      this.#options.log.warning('request refused', {
        type: describeType(type),
        requestId: id,
        error,
      });
      this.#outbox.send(replyFrame(type, id, failureText('', failureOf(error))));
      return;
    }
    const abort = new LazyAbort(this.#aborts);
    const outcome = this.#options.dispatcher.dispatch({
      type,
      id,
      payload,
      refusal: this.#refusalOf(type),
      get signal() {
        return abort.signal;
      },
      onContainer: (containerId) => {
        pending.containerId = containerId;
      },
    });
    const finish = (result: Outcome): void => {
      abort.forget();
      this.#pending.remove(pending);
      this.#answer(type, id, result);
    };
    if (outcome instanceof Promise) void outcome.then(finish);
    else finish(outcome);
  }

  #refusalOf(type: number): HresultError | undefined {
    const isNegotiate = type === MessageType.NegotiateProtocol;
    if (isNegotiate !== this.#negotiated) return undefined;
    const problem = isNegotiate
      ? 'the version of this connection has been negotiated already'
      : `${describeType(type)} came before NegotiateProtocol`;
    return new HresultError(Hresult.NotImplemented, problem);
  }

  #answer(type: number, id: bigint, { succeeded, text }: Outcome): void {
    if (!this.#open || text === undefined) return;
    this.#outbox.send(replyFrame(type, id, text));
    if (type === MessageType.NegotiateProtocol && succeeded) {
      this.#negotiated = true;
      this.#options.onNegotiated();
    }
  }
}

/** An AbortController made when its signal is first looked at: few requests do. */
class LazyAbort {
  readonly #all: Set<AbortController>;
  #controller: AbortController | undefined;

  constructor(all: Set<AbortController>) {
    this.#all = all;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      this.#all.add(this.#controller);
    }
    return this.#controller.signal;
  }

  forget(): void {
    if (this.#controller !== undefined) this.#all.delete(this.#controller);
  }
}
