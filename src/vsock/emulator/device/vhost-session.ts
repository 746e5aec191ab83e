import type { Logger } from '../../../log/logger.ts';
import type { Fd } from '../../../os/fd.ts';
import type { VsockDevice } from './device.ts';
import { DeviceError } from './errors.ts';
import { GuestMemory } from './guest-memory.ts';
import type { DeviceLimits } from './limits.ts';
import { RingPump } from './ring-pump.ts';
import { type Message, VhostConnection } from './vhost-connection.ts';
import {
  encodeConfig,
  encodeReply,
  encodeU64,
  encodeVringState,
  FEATURE_PROTOCOL,
  FEATURES,
  Payload,
  PROTOCOL_FEATURES,
  PROTOCOL_REPLY_ACK,
  request,
} from './vhost-messages.ts';
import { Vring } from './vring.ts';

export interface SessionOptions {
  cid: number;
  device: VsockDevice;
  limits: DeviceLimits;
  log: Logger;
  /** Once, when the front-end has gone or broke the protocol (then with the reason). */
  onEnd(reason?: unknown): void;
}

/** Rings of the device: receive and transmit. The event queue stays with the front-end. */
const RING_COUNT = 2;

/**
 * One front-end's use of the device, from its connection to its end: memory, rings and what the
 * requests of the vhost-user protocol do to them.
 */
export class VhostSession implements Disposable {
  readonly #options: SessionOptions;
  readonly #memory = new GuestMemory();
  readonly #rings: readonly [Vring, Vring];
  readonly #pump: RingPump;
  readonly #connection: VhostConnection;
  #replyAck = false;
  #ended = false;

  /** Owns `fd`. */
  constructor(fd: Fd, options: SessionOptions) {
    this.#options = options;
    const { device, cid, limits } = options;
    const kicked = (): void => this.#pump.run();
    const receiveRing = new Vring(this.#memory, kicked);
    const transmitRing = new Vring(this.#memory, kicked);
    this.#rings = [receiveRing, transmitRing];
    this.#pump = new RingPump({
      device,
      cid,
      receiveRing,
      transmitRing,
      limits,
      onFault: (error) => {
        options.log.error('the guest broke the device; it stands still until it is reset', {
          error,
        });
        device.reset();
      },
    });
    this.#connection = new VhostConnection(
      fd,
      limits.messageBytes,
      (message) => this.#handle(message),
      (reason) => {
        this[Symbol.dispose]();
        options.onEnd(reason);
      },
    );
  }

  /** The device has something for the guest. */
  pending(): void {
    this.#pump.fillSoon();
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#connection[Symbol.dispose]();
    this.#pump[Symbol.dispose]();
    for (const ring of this.#rings) ring[Symbol.dispose]();
    this.#memory.unmap();
    this.#options.device.reset();
  }

  #handle(message: Message): void {
    this.#options.log.trace('vhost-user request', {
      request: message.request,
      bytes: message.size,
      descriptors: message.fds.length,
    });
    const answer = this.#answer(message);
    if (answer !== undefined) this.#connection.send(encodeReply(message.request, answer));
    else if (message.needReply && this.#replyAck)
      this.#connection.send(encodeReply(message.request, encodeU64(0n)));
  }

  /** Does what a message asks. Returns the payload of its answer, if it has one of its own. */
  #answer(message: Message): Uint8Array | undefined {
    const payload = new Payload(message.payload);
    switch (message.request) {
      case request.getFeatures:
        return encodeU64(FEATURES);
      case request.getProtocolFeatures:
        return encodeU64(PROTOCOL_FEATURES);
      case request.getQueueCount:
        return encodeU64(BigInt(RING_COUNT));
      case request.getConfig:
        return encodeConfig(message.payload, this.#options.cid);
      case request.getVringBase: {
        const { index } = payload.vringState();
        return encodeVringState(index, this.#stop(index));
      }
      default:
        this.#configure(message, payload);
        return undefined;
    }
  }

  #configure(message: Message, payload: Payload): void {
    switch (message.request) {
      case request.setFeatures:
        this.#setFeatures(payload.u64());
        return;
      case request.setProtocolFeatures: {
        this.#replyAck = (payload.u64() & PROTOCOL_REPLY_ACK) !== 0n;
        return;
      }
      case request.setOwner:
      // The guest's CID is not the guest's to change.
      case request.setConfig:
        return;
      case request.resetOwner:
        for (const index of this.#rings.keys()) this.#stop(index);
        return;
      case request.setMemoryTable:
        this.#setMemory(message, payload);
        return;
      default:
        this.#configureRing(message, payload);
    }
  }

  #configureRing(message: Message, payload: Payload): void {
    switch (message.request) {
      case request.setVringSize: {
        const { index, value } = payload.vringState();
        this.#ring(index).setSize(this.#checkSize(value));
        return;
      }
      case request.setVringBase: {
        const { index, value } = payload.vringState();
        this.#ring(index).setBase(value);
        return;
      }
      case request.setVringAddress: {
        const { index, ...addresses } = payload.vringAddresses();
        this.#ring(index).setAddresses(addresses);
        return;
      }
      case request.setVringEnable: {
        const { index, value } = payload.vringState();
        this.#ring(index).enabled = value === 1;
        this.#started();
        return;
      }
      case request.setVringKick:
      case request.setVringCall:
      case request.setVringError:
        this.#setDescriptor(message, payload);
        return;
      default:
        throw new DeviceError('protocol', `unknown vhost-user request ${message.request}`);
    }
  }

  #setFeatures(features: bigint): void {
    if ((features & ~FEATURES) !== 0n)
      throw new DeviceError('protocol', `features 0x${features.toString(16)} were not offered`);
    // Without the protocol features there is no request to enable a ring.
    for (const ring of this.#rings)
      if (!ring.started) ring.enabled = (features & FEATURE_PROTOCOL) === 0n;
  }

  #setMemory(message: Message, payload: Payload): void {
    const table = payload.memoryTable(this.#options.limits.memoryRegions);
    if (message.fds.length !== table.length)
      throw new DeviceError(
        'protocol',
        `${table.length} memory regions with ${message.fds.length} descriptors`,
      );
    this.#memory.map(
      table.flatMap((region, index) => {
        const fd = message.fds[index];
        return fd === undefined ? [] : [{ ...region, fd }];
      }),
    );
    for (const ring of this.#rings) ring.remap();
  }

  #setDescriptor(message: Message, payload: Payload): void {
    const { index, present } = payload.vringDescriptor();
    const ring = this.#ring(index);
    if (message.fds.length !== (present ? 1 : 0))
      throw new DeviceError('protocol', `${message.fds.length} descriptors for a ring`);
    const fd = message.fds.shift();
    if (message.request === request.setVringCall) {
      ring.setCall(fd);
    } else if (message.request === request.setVringError) {
      ring.setError(fd);
    } else {
      if (fd === undefined) throw new DeviceError('protocol', 'a ring without kicks');
      ring.start(fd);
      this.#started();
    }
  }

  #ring(index: number): Vring {
    const ring = this.#rings[index];
    if (ring === undefined) throw new DeviceError('protocol', `there is no ring ${index}`);
    return ring;
  }

  #checkSize(size: number): number {
    const powerOfTwo = size > 0 && (size & (size - 1)) === 0;
    if (!powerOfTwo || size > this.#options.limits.ringEntries)
      throw new DeviceError('protocol', `a ring of ${size} entries`);
    return size;
  }

  /** Serves once both rings do. */
  #started(): void {
    if (!this.#rings.every((ring) => ring.serving !== undefined)) return;
    this.#options.device.start();
    this.#pump.run();
  }

  #stop(index: number): number {
    const base = this.#ring(index).stop();
    this.#options.device.reset();
    return base;
  }
}
