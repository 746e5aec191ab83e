import { check } from './errors.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { FdPoll } from './poll.ts';

/**
 * The kernel's announcements that devices came, went or changed, NETLINK_KOBJECT_UEVENT of
 * netlink(7). They serve as the moment to look again, and no more: any process with CAP_NET_ADMIN
 * can forge one, and a burst of them loses some (which is told as one, too).
 */
export class Uevents implements Disposable {
  readonly #fd: Fd;
  readonly #poll: FdPoll;
  readonly #buffer = new Uint8Array(8192);

  constructor(onEvent: () => void) {
    this.#fd = new Fd(check('socket NETLINK_KOBJECT_UEVENT', native().ueventSocket()));
    try {
      this.#poll = new FdPoll(this.#fd.raw, { read: true }, () => {
        this.#drain();
        onEvent();
      });
    } catch (error) {
      this.#fd.close();
      throw error;
    }
  }

  /** Up to EAGAIN. ENOBUFS, the loss of messages, is over once it is read. */
  #drain(): void {
    while (native().readBytes(this.#fd.raw, this.#buffer) > 0);
  }

  [Symbol.dispose](): void {
    this.#poll.close();
    this.#fd.close();
  }
}
