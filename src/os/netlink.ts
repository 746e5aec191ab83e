import { constants } from 'node:os';
import { check, OsError } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import {
  attributesOf,
  frame,
  type Message,
  messagesOf,
  readI32,
  textOf,
} from './netlink-message.ts';
import { FdPoll } from './poll.ts';

const { errno } = constants;
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_ROUTE = 0;

// nlmsghdr.nlmsg_flags
const NLM_F_REQUEST = 0x1;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_DUMP = 0x300;
/** What a request that makes something adds. */
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
/** nlmsgerr: error, and with NETLINK_CAP_ACK the header of the request. */
const ERROR_BYTES = 20;
const NLMSGERR_ATTR_MSG = 1;

/** The kernel fills at most 32 KiB a datagram (netlink_dump). */
const BUFFER_BYTES = 65_536;
/** How often a listing is begun again because something changed while it was made. */
const DUMP_ATTEMPTS = 16;

/** Own network namespace, or that of a process, as a descriptor for setns(2). Throws OsError. */
export function openNetworkNamespace(pid: number | 'self'): Fd {
  const path = `/proc/${pid === 'self' ? 'thread-self' : pid}/ns/net`;
  return new Fd(check('open', native().open(path, 0, 0), path));
}

/** A non-blocking socket that lives in `namespace` (default: our own) for good. Throws OsError. */
export function socketIn(
  namespace: Fd | undefined,
  family: number,
  type: number,
  protocol: number,
): Fd {
  return new Fd(check('socket', native().socketIn(namespace?.raw ?? -1, family, type, protocol)));
}

/**
 * A NETLINK_ROUTE socket (rtnetlink(7)) in one network namespace. The kernel serves a request
 * within send(2), its answer waits when send returns: so a request is one synchronous call of some
 * microseconds, and a series of requests is never interleaved with another.
 */
export class RouteSocket implements Disposable {
  readonly #fd: Fd;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #sequence = 0;

  constructor(namespace?: Fd) {
    this.#fd = openRouteSocket(namespace, 0);
  }

  /**
   * One request that is done or refused. Throws OsError with the kernel's errno, and in its message
   * the kernel's own words where it has some.
   *
   * @param what for the error: "add address 10.0.0.2/24".
   */
  request(what: string, type: number, flags: number, body: Uint8Array): void {
    const sequence = this.#send(what, type, flags | NLM_F_ACK, body);
    for (;;) {
      for (const message of this.#receive(what)) {
        if (message.sequence !== sequence || message.type !== NLMSG_ERROR) continue;
        throwError(what, message);
        return;
      }
    }
  }

  /** A request with one message as its answer; undefined for ENODEV, when the asked for is not there. */
  query(what: string, type: number, body: Uint8Array): Message | undefined {
    const sequence = this.#send(what, type, NLM_F_ACK, body);
    let answer: Message | undefined;
    for (;;) {
      for (const message of this.#receive(what)) {
        if (message.sequence !== sequence) continue;
        if (message.type !== NLMSG_ERROR) {
          answer = { ...message, body: message.body.slice() };
          continue;
        }
        if (readI32(message.body, 0) === -errno.ENODEV) return undefined;
        throwError(what, message);
        return answer;
      }
    }
  }

  /** All objects of a kind, as they were at one moment. Throws OsError. */
  dump(what: string, type: number, body: Uint8Array): Message[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const messages = this.#dumpOnce(what, type, body);
      if (messages !== undefined) return messages;
    }
    throw new OsError(what, errno.EAGAIN, 'the list changes all the time');
  }

  close(): void {
    this.#fd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #dumpOnce(what: string, type: number, body: Uint8Array): Message[] | undefined {
    const sequence = this.#send(what, type, NLM_F_DUMP, body);
    const found: Message[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of this.#receive(what)) {
        if (message.sequence !== sequence) continue;
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          throwError(what, message);
          return interrupted ? undefined : found;
        }
        found.push({ ...message, body: message.body.slice() });
      }
    }
  }

  #send(what: string, type: number, flags: number, body: Uint8Array): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    const message = frame(type, flags | NLM_F_REQUEST, this.#sequence, body);
    check(what, native().netlinkSend(this.#fd.raw, message));
    return this.#sequence;
  }

  #receive(what: string): Iterable<Message> {
    const length = check(what, native().netlinkReceive(this.#fd.raw, this.#buffer));
    if (length > BUFFER_BYTES) throw new OsError(what, errno.EMSGSIZE);
    return messagesOf(this.#buffer.subarray(0, length));
  }
}

function openRouteSocket(namespace: Fd | undefined, group: number): Fd {
  const fd = socketIn(namespace, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
  try {
    check('setsockopt', native().netlinkSetUp(fd.raw, group));
    return fd;
  } catch (error) {
    fd.close();
    throw error;
  }
}

function throwError(what: string, { body }: Message): void {
  const number = readI32(body, 0);
  if (number === 0) return;
  const words = attributesOf(body, ERROR_BYTES).get(NLMSGERR_ATTR_MSG);
  throw new OsError(what, -number, words === undefined ? undefined : `(${textOf(words)})`);
}

/**
 * Calls `changed` when the kernel announced something to a multicast group of rtnetlink, once for
 * whatever has piled up: also when announcements were lost (ENOBUFS), so what there is must be
 * looked at, not what was announced. Subscribe first, look then, and nothing is missed.
 */
export class RouteEvents implements Disposable {
  readonly #fd: Fd;
  readonly #poll: FdPoll;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);

  constructor(group: number, changed: () => void) {
    this.#fd = openRouteSocket(undefined, group);
    try {
      this.#poll = new FdPoll(this.#fd.raw, { read: true }, () => {
        this.#drain();
        changed();
      });
    } catch (error) {
      this.#fd.close();
      throw error;
    }
  }

  #drain(): void {
    for (;;) {
      const result = native().netlinkReceive(this.#fd.raw, this.#buffer);
      if (result === -errno.EAGAIN) return;
      if (result !== -errno.ENOBUFS) check('recvfrom', result);
    }
  }

  [Symbol.dispose](): void {
    this.#poll.close();
    this.#fd.close();
  }
}
