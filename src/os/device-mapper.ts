import { constants as fsConstants } from 'node:fs';
import { constants } from 'node:os';
import { check, OsError } from './errors.ts';
import type { Fd } from './fd.ts';
import { native } from './native.ts';
import { openFile } from './pipe.ts';
import { noNul } from './text.ts';

// linux/dm-ioctl.h: commands, flags, and the layout of dm_ioctl and dm_target_spec.
const COMMAND = {
  create: 3,
  remove: 4,
  /** Without SUSPEND_FLAG it resumes. */
  suspend: 6,
  status: 7,
  load: 9,
  tableStatus: 12,
} as const;
const READONLY_FLAG = 1 << 0;
const SECURE_DATA_FLAG = 1 << 15;
const DEFERRED_REMOVE = 1 << 17;
const HEADER_SIZE = 312;
const SPEC_SIZE = 40;
const OFFSET = { dataSize: 12, dataStart: 16, targetCount: 20, flags: 28, dev: 40, name: 48 };
const LONGEST_NAME = 127;
const LONGEST_TYPE = 15;
const STATUS_SIZE = 16 * 1024;

const CONTROL = '/dev/mapper/control';

/** One line of a table, see dmsetup(8). Start and length in sectors of 512 bytes. */
export interface DmTarget {
  start: bigint;
  length: bigint;
  type: string;
  parameters: string;
}

export interface MappedDevice {
  readonly name: string;
  /** Its node, made by devtmpfs. */
  readonly path: string;
}

/** A secret that a table names `:<size>:logon:<name>`: in a kernel keyring only while the table is loaded. */
export interface DmKey {
  name: string;
  bytes: Uint8Array;
}

function message(name: string, flags: number, size = HEADER_SIZE): Buffer {
  noNul('device mapper', name);
  if (Buffer.byteLength(name) > LONGEST_NAME) {
    throw new OsError('device mapper', constants.errno.ENAMETOOLONG, name);
  }
  const bytes = Buffer.alloc(size);
  // Interface version 4.0.0: all that is used here.
  bytes.writeUInt32LE(4, 0);
  bytes.writeUInt32LE(size, OFFSET.dataSize);
  bytes.writeUInt32LE(HEADER_SIZE, OFFSET.dataStart);
  bytes.writeUInt32LE(flags >>> 0, OFFSET.flags);
  bytes.write(name, OFFSET.name);
  return bytes;
}

function specSize({ parameters }: DmTarget): number {
  return (SPEC_SIZE + Buffer.byteLength(parameters) + 1 + 7) & ~7;
}

function table(name: string, flags: number, targets: readonly DmTarget[]): Buffer {
  const size = targets.reduce((sum, target) => sum + specSize(target), HEADER_SIZE);
  const bytes = message(name, flags, size);
  bytes.writeUInt32LE(targets.length, OFFSET.targetCount);
  let at = HEADER_SIZE;
  for (const target of targets) {
    noNul('device mapper', target.parameters, target.type);
    if (target.type.length > LONGEST_TYPE) {
      throw new OsError('device mapper', constants.errno.EINVAL, target.type);
    }
    bytes.writeBigUInt64LE(target.start, at);
    bytes.writeBigUInt64LE(target.length, at + 8);
    bytes.writeUInt32LE(specSize(target), at + 20);
    bytes.write(target.type, at + 24);
    bytes.write(target.parameters, at + SPEC_SIZE);
    at += specSize(target);
  }
  return bytes;
}

/** The kernel's device mapper by its ioctls: block devices made of others. */
export class DeviceMapper implements Disposable {
  readonly #control: Fd;

  /** Throws OsError ENOENT when the kernel has no device mapper. */
  constructor() {
    this.#control = openFile(CONTROL, fsConstants.O_RDWR);
  }

  /** A device with this table, ready for use. Everything or nothing. Throws OsError EBUSY when the name is taken. */
  async create(
    name: string,
    targets: readonly DmTarget[],
    options: { readOnly: boolean; key?: DmKey },
  ): Promise<MappedDevice> {
    const created = message(name, 0);
    await this.#ioctl('create', created);
    try {
      const flags =
        (options.readOnly ? READONLY_FLAG : 0) | (options.key === undefined ? 0 : SECURE_DATA_FLAG);
      await this.#ioctl('load', table(name, flags, targets), options.key);
      await this.#ioctl('suspend', message(name, 0));
    } catch (error) {
      await this.#ioctl('remove', message(name, 0));
      throw error;
    }
    return { name, path: `/dev/dm-${minorOf(created.readBigUInt64LE(OFFSET.dev))}` };
  }

  /** 'deferred': it is in use and goes when that has ended. Throws OsError ENXIO when there is none. */
  async remove(name: string): Promise<'removed' | 'deferred'> {
    const bytes = message(name, DEFERRED_REMOVE);
    await this.#ioctl('remove', bytes);
    return (bytes.readUInt32LE(OFFSET.flags) & DEFERRED_REMOVE) === 0 ? 'removed' : 'deferred';
  }

  /** True while a device has this name. */
  async has(name: string): Promise<boolean> {
    try {
      await this.#ioctl('status', message(name, 0));
      return true;
    } catch (error) {
      if (error instanceof OsError && error.errno === constants.errno.ENXIO) return false;
      throw error;
    }
  }

  /** Status texts of the targets, see each target's documentation. */
  async status(name: string): Promise<string[]> {
    const bytes = message(name, 0, STATUS_SIZE);
    await this.#ioctl('tableStatus', bytes);
    const start = bytes.readUInt32LE(OFFSET.dataStart);
    const texts: string[] = [];
    let at = start;
    for (let count = bytes.readUInt32LE(OFFSET.targetCount); count > 0; count--) {
      const text = bytes.subarray(at + SPEC_SIZE);
      texts.push(text.toString('latin1', 0, text.indexOf(0)));
      // On the way out `next` counts from the first target.
      at = start + bytes.readUInt32LE(at + 20);
    }
    return texts;
  }

  async #ioctl(command: keyof typeof COMMAND, bytes: Buffer, key?: DmKey): Promise<void> {
    const result = await native().dmIoctl(
      this.#control.raw,
      COMMAND[command],
      bytes,
      key?.name ?? null,
      key?.bytes ?? null,
    );
    const end = bytes.indexOf(0, OFFSET.name);
    check('device mapper', result, `${command} ${bytes.toString('utf8', OFFSET.name, end)}`);
  }

  [Symbol.dispose](): void {
    this.#control.close();
  }
}

/** From the kernel's "huge" encoding of a device number. */
function minorOf(dev: bigint): bigint {
  return (dev & 0xffn) | ((dev >> 12n) & 0xfff00n);
}
