import type { Fd } from '../../../os/fd.ts';
import { SharedMemory } from '../../../os/shared-memory.ts';
import { DeviceError } from './errors.ts';

/** One entry of the memory table, VHOST_USER_SET_MEM_TABLE. */
export interface RegionDescription {
  /** Guest-physical address: what descriptors name. */
  guestAddress: number;
  size: number;
  /** Address in the front-end: what the rings' places are told in. */
  userAddress: number;
  /** Offset in the file that comes with it. */
  fileOffset: number;
}

interface Region extends RegionDescription {
  memory: SharedMemory;
  bytes: Uint8Array;
}

const PAGE = 4096;

/**
 * All memory of the guest, and the only door to it. Whatever a guest or front-end names is checked
 * against the regions, and what comes back are views of exactly the bytes asked for, which the
 * language itself bounds. The bytes change while they are looked at: read once, then judge.
 */
export class GuestMemory implements Disposable {
  #regions: Region[] = [];

  /** Replaces the table. The descriptors stay the caller's. Throws DeviceError 'protocol'; the old table is gone then, too. */
  map(table: readonly (RegionDescription & { fd: Fd })[]): void {
    this.unmap();
    try {
      for (const { fd, ...place } of table) this.#regions.push(mapRegion(place, fd));
    } catch (error) {
      this.unmap();
      throw error;
    }
  }

  /** The views given out become empty. */
  unmap(): void {
    for (const { memory } of this.#regions.splice(0)) memory.close();
  }

  [Symbol.dispose](): void {
    this.unmap();
  }

  /**
   * The bytes at a guest-physical address, in several views where they cross from one region to
   * the next. Throws DeviceError 'ring' when not all of them are memory.
   */
  guest(address: number, length: number, into: Uint8Array[]): void {
    let at = address;
    let rest = length;
    while (rest > 0) {
      const region = this.#regions.find(
        ({ guestAddress, size }) => at >= guestAddress && at - guestAddress < size,
      );
      if (region === undefined)
        throw new DeviceError('ring', `${length} bytes at ${hex(address)} are not guest memory`);
      const start = at - region.guestAddress;
      const part = Math.min(rest, region.size - start);
      into.push(region.bytes.subarray(start, start + part));
      at += part;
      rest -= part;
    }
  }

  /**
   * A ring's part at an address of the front-end, in one piece. Throws DeviceError 'protocol' when
   * it is not in one region or not aligned.
   */
  ring(
    address: number,
    length: number,
    alignment: number,
  ): { buffer: ArrayBuffer; offset: number } {
    for (const { userAddress, size, memory } of this.#regions) {
      const offset = address - userAddress;
      if (offset < 0 || offset >= size || length > size - offset) continue;
      if (offset % alignment !== 0) break;
      return { buffer: memory.buffer, offset };
    }
    throw new DeviceError(
      'protocol',
      `no place for a ring part of ${length} bytes at ${hex(address)}`,
    );
  }
}

function mapRegion(place: RegionDescription, fd: Fd): Region {
  const { guestAddress, size, userAddress, fileOffset } = place;
  const numbers = [guestAddress + size, userAddress + size, fileOffset + size];
  // Guests' pages are never smaller; with it the alignment in the region is that in memory.
  const odd = [guestAddress, size, userAddress, fileOffset].some((each) => each % PAGE !== 0);
  if (size === 0 || odd || !numbers.every(Number.isSafeInteger)) {
    const where = `${hex(size)} bytes at ${hex(guestAddress)}, file offset ${hex(fileOffset)}`;
    throw new DeviceError('protocol', `a memory region of ${where}`);
  }
  try {
    const memory = new SharedMemory(fd, fileOffset, size);
    return { ...place, memory, bytes: new Uint8Array(memory.buffer) };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DeviceError('protocol', `a memory region cannot be mapped: ${reason}`, cause);
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
