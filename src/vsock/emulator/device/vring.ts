import { signalEvent, takeEvents } from '../../../os/bytes.ts';
import type { Fd } from '../../../os/fd.ts';
import { setNonBlock } from '../../../os/pipe.ts';
import { FdPoll } from '../../../os/poll.ts';
import { DeviceError } from './errors.ts';
import type { GuestMemory } from './guest-memory.ts';
import { type QueueAddresses, Virtqueue } from './virtqueue.ts';

/**
 * One ring as the front-end sets it up (vhost-user protocol, "Ring states"): stopped until it has a
 * kick descriptor, then started; serving when it is enabled, too.
 */
export class Vring implements Disposable {
  enabled = false;
  readonly #memory: GuestMemory;
  readonly #onKick: () => void;
  #size = 0;
  #base = 0;
  #addresses: QueueAddresses | undefined;
  #queue: Virtqueue | undefined;
  #kick: { fd: Fd; poll: FdPoll } | undefined;
  #call: Fd | undefined;
  #error: Fd | undefined;
  #broken = false;

  constructor(memory: GuestMemory, onKick: () => void) {
    this.#memory = memory;
    this.#onKick = onKick;
  }

  get started(): boolean {
    return this.#queue !== undefined;
  }

  /** The queue to serve; undefined while the ring is stopped, disabled or broken. */
  get serving(): Virtqueue | undefined {
    return this.enabled && !this.#broken ? this.#queue : undefined;
  }

  setSize(size: number): void {
    this.#size = size;
  }

  setBase(base: number): void {
    this.#base = base & 0xffff;
  }

  /** Throws DeviceError 'protocol' when the ring runs and the new place is not in memory. */
  setAddresses(addresses: QueueAddresses): void {
    this.#addresses = addresses;
    if (this.started) this.remap();
  }

  /** Takes the ring's parts from the memory table as it is now. */
  remap(): void {
    if (this.#kick === undefined) return;
    if (this.#addresses === undefined || this.#size === 0)
      throw new DeviceError('protocol', 'a ring is started without a size or a place');
    const base = this.#queue?.base ?? this.#base;
    this.#queue = undefined;
    this.#queue = new Virtqueue(this.#memory, this.#size, base, this.#addresses);
  }

  /** Starts the ring; owns `fd`. */
  start(fd: Fd): void {
    this.#closeKick();
    setNonBlock(fd, true);
    const poll = new FdPoll(fd.raw, { read: true }, () => {
      takeEvents(fd);
      this.#onKick();
    });
    this.#kick = { fd, poll };
    this.remap();
  }

  /** Owns `fd`. A ring that runs signals at once: what was used before might have told nobody. */
  setCall(fd: Fd | undefined): void {
    this.#call?.close();
    this.#call = fd;
    if (fd === undefined) return;
    setNonBlock(fd, true);
    if (this.started) signalEvent(fd);
  }

  /** Owns `fd`. */
  setError(fd: Fd | undefined): void {
    this.#error?.close();
    this.#error = fd;
    if (fd !== undefined) setNonBlock(fd, true);
  }

  /** Tells the driver of used buffers if it wants to know. */
  notify(): void {
    if (this.#queue?.wantsCalls === true && this.#call !== undefined) signalEvent(this.#call);
  }

  /** The guest has broken this ring: it stands still until it is started again. */
  fail(): void {
    this.#broken = true;
    this.#kick?.poll.pause();
    if (this.#error !== undefined) signalEvent(this.#error);
  }

  /** Stops the ring and gives the index of the next buffer. */
  stop(): number {
    const base = this.#queue?.base ?? this.#base;
    this.#queue = undefined;
    this.#base = base;
    this.#broken = false;
    this.#closeKick();
    return base;
  }

  #closeKick(): void {
    this.#kick?.poll.close();
    this.#kick?.fd.close();
    this.#kick = undefined;
  }

  [Symbol.dispose](): void {
    this.stop();
    this.setCall(undefined);
    this.setError(undefined);
  }
}
