import { DeviceError } from './errors.ts';
import type { RegionDescription } from './guest-memory.ts';
import type { QueueAddresses } from './virtqueue.ts';

/** The vhost-user protocol (qemu docs/interop/vhost-user.rst), as far as a vsock device needs it. */
export const request = {
  getFeatures: 1,
  setFeatures: 2,
  setOwner: 3,
  resetOwner: 4,
  setMemoryTable: 5,
  setVringSize: 8,
  setVringAddress: 9,
  setVringBase: 10,
  getVringBase: 11,
  setVringKick: 12,
  setVringCall: 13,
  setVringError: 14,
  getProtocolFeatures: 15,
  setProtocolFeatures: 16,
  getQueueCount: 17,
  setVringEnable: 18,
  getConfig: 24,
  setConfig: 25,
} as const;

/** request, flags, payload size */
export const MESSAGE_HEADER_BYTES = 12;
const VERSION = 1;
const VERSION_MASK = 3;
const FLAG_REPLY = 4;
const FLAG_NEED_REPLY = 8;

/** VIRTIO_F_VERSION_1 and VHOST_USER_F_PROTOCOL_FEATURES. */
export const FEATURE_PROTOCOL = 1n << 30n;
export const FEATURES = (1n << 32n) | FEATURE_PROTOCOL;
/** VHOST_USER_PROTOCOL_F_MQ, _REPLY_ACK and _CONFIG, without which QEMU makes no vsock device. */
export const PROTOCOL_REPLY_ACK = 1n << 3n;
export const PROTOCOL_FEATURES = 1n | PROTOCOL_REPLY_ACK | (1n << 9n);

export interface MessageHeader {
  request: number;
  /** The front-end waits for an answer also to a request that has none of its own. */
  needReply: boolean;
  size: number;
}

/** Throws DeviceError 'protocol' for another version or a payload that is too long. */
export function parseMessageHeader(bytes: Uint8Array, maxPayload: number): MessageHeader {
  const view = viewOf(bytes);
  const flags = view.getUint32(4, true);
  const size = view.getUint32(8, true);
  if ((flags & VERSION_MASK) !== VERSION)
    throw new DeviceError('protocol', `vhost-user version ${flags & VERSION_MASK}`);
  if (size > maxPayload) throw new DeviceError('protocol', `a vhost-user message of ${size} bytes`);
  return { request: view.getUint32(0, true), needReply: (flags & FLAG_NEED_REPLY) !== 0, size };
}

export function encodeReply(requestNumber: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(MESSAGE_HEADER_BYTES + payload.length);
  const view = viewOf(bytes);
  view.setUint32(0, requestNumber, true);
  view.setUint32(4, VERSION | FLAG_REPLY, true);
  view.setUint32(8, payload.length, true);
  bytes.set(payload, MESSAGE_HEADER_BYTES);
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The payload of one request, read in order. Throws DeviceError 'protocol' at its end. */
export class Payload {
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = viewOf(bytes);
  }

  get rest(): number {
    return this.#view.byteLength - this.#at;
  }

  #step(bytes: number): number {
    const at = this.#at;
    if (this.rest < bytes) throw new DeviceError('protocol', 'a vhost-user message is too short');
    this.#at += bytes;
    return at;
  }

  u32(): number {
    return this.#view.getUint32(this.#step(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#step(8), true);
  }

  /** An address or a size; above 2^53 nothing is addressed, and the number is too large for anything. */
  address(): number {
    return Number(this.u64());
  }

  vringState(): { index: number; value: number } {
    return { index: this.u32(), value: this.u32() };
  }

  vringAddresses(): QueueAddresses & { index: number } {
    const index = this.u32();
    this.u32();
    return {
      index,
      descriptors: this.address(),
      used: this.address(),
      available: this.address(),
    };
  }

  /** Index of a ring, and whether a descriptor comes with it. */
  vringDescriptor(): { index: number; present: boolean } {
    const value = this.u64();
    return { index: Number(value & 0xffn), present: (value & 0x100n) === 0n };
  }

  memoryTable(max: number): RegionDescription[] {
    const count = this.u32();
    this.u32();
    if (count > max) throw new DeviceError('protocol', `${count} memory regions`);
    return Array.from({ length: count }, () => ({
      guestAddress: this.address(),
      size: this.address(),
      userAddress: this.address(),
      fileOffset: this.address(),
    }));
  }
}

export function encodeU64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setBigUint64(0, value, true);
  return bytes;
}

export function encodeVringState(index: number, value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  viewOf(bytes).setUint32(0, index, true);
  viewOf(bytes).setUint32(4, value, true);
  return bytes;
}

/**
 * The answer to GET_CONFIG: what of struct virtio_vsock_config (virtio 1.2, 5.10.4: the guest's
 * CID) was asked for. An empty payload says that there is no such place.
 */
export function encodeConfig(payload: Uint8Array, cid: number): Uint8Array {
  const reader = new Payload(payload);
  const offset = reader.u32();
  const size = reader.u32();
  const config = encodeU64(BigInt(cid));
  if (size !== reader.rest - 4 || offset + size > config.length) return new Uint8Array();
  const answer = payload.slice();
  answer.set(config.subarray(offset, offset + size), 12);
  return answer;
}
