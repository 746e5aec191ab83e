import { hasCode } from '../../../os/errors.ts';
import type { Fd } from '../../../os/fd.ts';
import { FdPoll } from '../../../os/poll.ts';
import { receiveFdsNow, sendFds } from '../../../os/rights.ts';
import { DeviceError } from './errors.ts';
import { MESSAGE_HEADER_BYTES, type MessageHeader, parseMessageHeader } from './vhost-messages.ts';

export interface Message extends MessageHeader {
  payload: Uint8Array;
  /** The receiver takes what it keeps; the rest is closed after it. */
  fds: Fd[];
}

/** Descriptors of one message: the memory table has one for each region. */
const MAX_FDS = 8;
/** Messages in one turn of the event loop. */
const TURN_MESSAGES = 64;

/**
 * Messages of a vhost-user front-end, each with its descriptors. A message is read in exactly its
 * length, so that descriptors are never taken for those of the message before.
 */
export class VhostConnection implements Disposable {
  readonly #fd: Fd;
  readonly #poll: FdPoll;
  readonly #maxPayload: number;
  readonly #onMessage: (message: Message) => void;
  readonly #onEnd: (reason?: unknown) => void;
  #bytes = new Uint8Array(MESSAGE_HEADER_BYTES);
  #filled = 0;
  #header: MessageHeader | undefined;
  #fds: Fd[] = [];

  /** Owns `fd`. `onEnd` comes once: without a reason when the front-end closed between two messages. */
  constructor(
    fd: Fd,
    maxPayload: number,
    onMessage: (message: Message) => void,
    onEnd: (reason?: unknown) => void,
  ) {
    this.#fd = fd;
    this.#maxPayload = maxPayload;
    this.#onMessage = onMessage;
    this.#onEnd = onEnd;
    this.#poll = new FdPoll(fd.raw, { read: true }, () => this.#receive());
  }

  #receive(): void {
    try {
      for (let count = 0; count < TURN_MESSAGES && this.#fd.open; ) {
        const step = this.#step();
        if (step === 'again') return;
        if (step === 'end') {
          this.#finish();
          return;
        }
        if (step === 'message') count += 1;
      }
    } catch (error) {
      this.#finish(hasCode(error, 'ECONNRESET') ? undefined : error);
    }
  }

  #finish(reason?: unknown): void {
    this[Symbol.dispose]();
    this.#onEnd(reason);
  }

  #step(): 'again' | 'end' | 'more' | 'message' {
    if (this.#filled < this.#bytes.length) {
      const received = receiveFdsNow(this.#fd, this.#bytes.subarray(this.#filled), MAX_FDS);
      if (received === 'again') return 'again';
      this.#fds.push(...received.fds);
      if (this.#fds.length > MAX_FDS)
        throw new DeviceError('protocol', `more than ${MAX_FDS} descriptors with a message`);
      if (received.length === 0) {
        if (this.#filled === 0 && this.#header === undefined) return 'end';
        throw new DeviceError('protocol', 'the front-end left in the middle of a message');
      }
      this.#filled += received.length;
      if (this.#filled < this.#bytes.length) return 'more';
    }
    return this.#complete();
  }

  #complete(): 'more' | 'message' {
    if (this.#header === undefined) {
      this.#header = parseMessageHeader(this.#bytes, this.#maxPayload);
      this.#bytes = new Uint8Array(this.#header.size);
      this.#filled = 0;
      if (this.#header.size > 0) return 'more';
    }
    const message = { ...this.#header, payload: this.#bytes, fds: this.#fds };
    this.#bytes = new Uint8Array(MESSAGE_HEADER_BYTES);
    this.#filled = 0;
    this.#header = undefined;
    this.#fds = [];
    try {
      this.#onMessage(message);
    } finally {
      for (const fd of message.fds) fd.close();
    }
    return 'message';
  }

  /** A front-end waits for each answer, so there is always room for one. */
  send(bytes: Uint8Array): void {
    sendFds(this.#fd, bytes, []);
  }

  [Symbol.dispose](): void {
    this.#poll.close();
    for (const fd of this.#fds.splice(0)) fd.close();
    this.#fd.close();
  }
}
