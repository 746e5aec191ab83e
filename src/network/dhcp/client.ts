import { randomInt } from 'node:crypto';
import type { Fd } from '../../os/fd.ts';
import { DhcpSocket } from '../../os/packet.ts';
import { type Lease, leaseOf } from './lease.ts';
import { DhcpType, decodeMessage, encodeMessage, type Incoming, type Outgoing } from './message.ts';
import { unwrap, wrap } from './packet.ts';
import { pause } from './pause.ts';

/** The link that wants an address. */
export interface DhcpLink {
  readonly namespace: Fd;
  readonly index: number;
  /** Six bytes. */
  readonly mac: Uint8Array;
}

/** Where a message goes: link address and IP address. */
interface Receiver {
  readonly mac: Uint8Array;
  readonly address: Uint8Array;
}

const EVERYBODY: Receiver = {
  mac: new Uint8Array(6).fill(0xff),
  address: new Uint8Array(4).fill(0xff),
};
const NOBODY = new Uint8Array(4);

/** Milliseconds until a message is sent again, doubled each time, RFC 2131 section 4.1 (which begins with 4 s: the host waits for us). */
const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 16_000;
/** Milliseconds a server that offered has to confirm. */
const CONFIRM_MS = 8000;
/** Milliseconds before we begin anew after a refusal. */
const REFUSED_PAUSE_MS = 1000;

type Accept<T> = (message: Incoming, sender: Uint8Array) => T | undefined;

/** One conversation with DHCP servers, RFC 2131. Its socket keeps the namespace alive: dispose it soon. */
export class DhcpExchange implements Disposable {
  readonly #link: DhcpLink;
  readonly #socket: DhcpSocket;
  #transaction = 0;
  #receive: (message: Incoming, sender: Uint8Array) => void = () => {};

  constructor(link: DhcpLink) {
    this.#link = link;
    this.#socket = new DhcpSocket(link.namespace, link.index, (packet, sender) => {
      const payload = unwrap(packet);
      if (payload === undefined) return;
      const expected = { transaction: this.#transaction, mac: link.mac };
      const message = decodeMessage(payload, expected);
      if (message !== undefined) this.#receive(message, sender);
    });
  }

  /** Discover, offer, request, acknowledgement. Goes on until there is a lease or the signal comes. */
  async acquire(signal: AbortSignal): Promise<Lease> {
    for (;;) {
      this.#begin();
      const offer = await this.#ask({ type: DhcpType.discover }, signal, (message, sender) =>
        message.type === DhcpType.offer ? leaseOf(message, sender) : undefined,
      );
      const answer = await this.#confirm(offer, signal);
      if (answer !== undefined && answer !== 'refused') return answer;
      if (answer === 'refused') await pause(REFUSED_PAUSE_MS, signal);
    }
  }

  /**
   * Asks for more time. Undefined: no answer within `waitMs`.
   *
   * @param whom the server that granted the lease, or any.
   */
  async renew(
    lease: Lease,
    whom: 'server' | 'any',
    waitMs: number,
    signal: AbortSignal,
  ): Promise<Lease | 'refused' | undefined> {
    this.#begin();
    const clientAddress = lease.address.address.bytes;
    const to = whom === 'server' ? { mac: lease.serverMac, address: lease.server } : EVERYBODY;
    const message = { type: DhcpType.request, clientAddress };
    return await this.#within(waitMs, signal, (limit) => this.#ask(message, limit, granted, to));
  }

  /** Gives an address back; nobody answers that. Throws OsError. */
  release(lease: Lease): void {
    this.#begin();
    const { address } = lease.address;
    const message = { type: DhcpType.release, clientAddress: address.bytes, server: lease.server };
    this.#send(message, { mac: lease.serverMac, address: lease.server });
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  async #confirm(offer: Lease, signal: AbortSignal): Promise<Lease | 'refused' | undefined> {
    const request = {
      type: DhcpType.request,
      requestedAddress: offer.address.address.bytes,
      server: offer.server,
    };
    return await this.#within(CONFIRM_MS, signal, (limit) => this.#ask(request, limit, granted));
  }

  /** Undefined when the time is over before the answer has come. */
  async #within<T>(
    waitMs: number,
    signal: AbortSignal,
    action: (limit: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    const time = new AbortController();
    const timer = setTimeout(() => time.abort(), waitMs);
    try {
      return await action(AbortSignal.any([signal, time.signal]));
    } catch (error) {
      signal.throwIfAborted();
      if (time.signal.aborted) return undefined;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #begin(): void {
    this.#transaction = randomInt(0x1_0000_0000);
  }

  /** Sends, and sends again, until an answer is accepted. */
  async #ask<T>(
    message: Omit<Outgoing, 'transaction' | 'mac'>,
    signal: AbortSignal,
    accept: Accept<T>,
    to: Receiver = EVERYBODY,
  ): Promise<T> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const onAbort = (): void => reject(signal.reason);
    let timer: NodeJS.Timeout | undefined;
    let waitMs = FIRST_RETRY_MS;
    const attempt = (): void => {
      try {
        this.#send(message, to);
      } catch (error) {
        reject(error);
        return;
      }
      // Machines that started together do not ask together for ever.
      timer = setTimeout(attempt, waitMs + randomInt(waitMs / 4));
      waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS);
    };
    this.#receive = (incoming, sender) => {
      const accepted = accept(incoming, sender);
      if (accepted !== undefined) resolve(accepted);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    attempt();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      this.#receive = () => {};
    }
  }

  #send(message: Omit<Outgoing, 'transaction' | 'mac'>, to: Receiver): void {
    const { mac } = this.#link;
    const payload = encodeMessage({ ...message, mac, transaction: this.#transaction });
    const source = message.clientAddress ?? NOBODY;
    this.#socket.send(wrap(source, to.address, payload), to.mac);
  }
}

const granted: Accept<Lease | 'refused'> = (message, sender) => {
  if (message.type === DhcpType.nak) return 'refused';
  return message.type === DhcpType.ack ? leaseOf(message, sender) : undefined;
};
