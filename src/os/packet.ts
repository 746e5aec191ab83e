import { constants } from 'node:os';
import { check } from './errors.ts';
import type { Fd } from './fd.ts';
import { native } from './native.ts';
import { socketIn } from './netlink.ts';
import { FdPoll } from './poll.ts';

const { errno } = constants;
const AF_INET = 2;
const AF_PACKET = 17;
const SOCK_DGRAM = 2;
/** An Ethernet frame's payload. */
const LARGEST_PACKET = 1500;

/**
 * The IP packets of a DHCP client on one link (packet(7)): they can be sent before the link has an
 * address and received before the kernel would take them. Only UDP to port 68 is received.
 */
export class DhcpSocket implements Disposable {
  readonly #fd: Fd;
  readonly #portHolder: Fd;
  readonly #poll: FdPoll;
  readonly #index: number;

  /** Throws OsError. `namespace`: where the link is. Packets that come are the receiver's to judge. */
  constructor(
    namespace: Fd,
    index: number,
    receive: (packet: Uint8Array, sender: Uint8Array) => void,
  ) {
    using stack = new DisposableStack();
    this.#index = index;
    this.#fd = stack.use(socketIn(namespace, AF_PACKET, SOCK_DGRAM, 0));
    check('bind', native().packetBindDhcp(this.#fd.raw, index));
    this.#portHolder = stack.use(socketIn(namespace, AF_INET, SOCK_DGRAM, 0));
    const claimed = native().claimDhcpPort(this.#portHolder.raw, index);
    // Whoever has the port holds it open as well as we would.
    if (claimed !== -errno.EADDRINUSE) check('bind', claimed);
    this.#poll = new FdPoll(this.#fd.raw, { read: true }, () => this.#drain(receive));
    stack.move();
  }

  /** One IP packet to the link address of a neighbour; lost when the link is down. Throws OsError. */
  send(packet: Uint8Array, receiver: Uint8Array): void {
    const result = native().packetSend(this.#fd.raw, packet, this.#index, receiver);
    if (result !== -errno.ENETDOWN) check('sendto', result);
  }

  #drain(receive: (packet: Uint8Array, sender: Uint8Array) => void): void {
    for (let count = 0; count < 64 && this.#fd.open; count++) {
      const packet = new Uint8Array(LARGEST_PACKET);
      const sender = new Uint8Array(6);
      const length = native().packetReceive(this.#fd.raw, packet, sender);
      if (length === -errno.EAGAIN) return;
      if (length === -errno.ENETDOWN) {
        // Told once, when the link goes down, and a poll stops at an error: it may come up again.
        this.#poll.resume();
        return;
      }
      check('recvfrom', length);
      if (length <= LARGEST_PACKET) receive(packet.subarray(0, length), sender);
    }
  }

  [Symbol.dispose](): void {
    this.#poll.close();
    this.#fd.close();
    this.#portHolder.close();
  }
}
