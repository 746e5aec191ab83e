import { constants, existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { hasCode } from '../../os/errors.ts';
import { badValue } from '../host-path.ts';
import { untilFound, type WatchDevices, watchUevents } from './appearance.ts';
import { hyperV } from './hyper-v.ts';
import { type Machine, SCSI_CONTROLLERS } from './machine.ts';
import type { DeviceResolver, DiskAddress } from './resolver.ts';
import { nodeOf, partitionOf } from './sysfs.ts';
import { virtio } from './virtio.ts';

export interface SysfsOptions {
  sysfs?: string;
  dev?: string;
  watch?: WatchDevices;
  timeoutMs?: number;
}

type Options = { signal?: AbortSignal };

/** Devices of the machine we run on, which is a guest of Hyper-V when it has a VMBus. */
export function machineDevices(options: SysfsOptions = {}): DeviceResolver {
  const { sysfs = '/sys' } = options;
  const machine = existsSync(`${sysfs}/bus/vmbus`) ? hyperV(sysfs) : virtio(sysfs);
  return new SysfsResolver(machine, options);
}

/** Finds devices in sysfs, and their nodes where devtmpfs makes them. */
class SysfsResolver implements DeviceResolver {
  readonly #machine: Machine;
  readonly #sysfs: string;
  readonly #dev: string;
  readonly #watch: WatchDevices;
  readonly #timeoutMs: number | undefined;

  constructor(machine: Machine, options: SysfsOptions = {}) {
    this.#machine = machine;
    this.#sysfs = options.sysfs ?? '/sys';
    this.#dev = options.dev ?? '/dev';
    this.#watch = options.watch ?? watchUevents;
    this.#timeoutMs = options.timeoutMs;
  }

  get name(): string {
    return this.#machine.name;
  }

  async disk({ controller, lun, partition }: DiskAddress, options?: Options): Promise<string> {
    checkController(controller);
    const part = partition === 0 ? '' : `, partition ${partition}`;
    return await this.#wait(`disk ${lun} of SCSI controller ${controller}${part}`, options, () => {
      const disk = this.#machine.findDisk(controller, lun);
      const directory = disk === undefined ? undefined : partitionOf(disk, partition);
      return directory === undefined ? undefined : nodeOf(directory, this.#dev);
    });
  }

  pmem(number: number, options?: Options): Promise<string> {
    return this.#wait(`persistent memory device ${number}`, options, () =>
      nodeOf(`${this.#sysfs}/block/pmem${number}`, this.#dev),
    );
  }

  pci(id: string, options?: Options): Promise<string> {
    return this.#wait(`PCI device ${id}`, options, () => this.#machine.findPci(id));
  }

  async unplug({ controller, lun }: { controller: number; lun: number }): Promise<void> {
    checkController(controller);
    const device = this.#machine.findScsiDevice(controller, lun);
    if (device === undefined) return;
    try {
      // Such a file can be opened for writing only, and not be made or cut.
      await writeFile(`${device}/delete`, '1\n', { flag: constants.O_WRONLY });
    } catch (error) {
      if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENODEV')) throw error;
    }
  }

  async #wait(
    what: string,
    options: Options = {},
    find: () => string | undefined,
  ): Promise<string> {
    const limit = this.#timeoutMs === undefined ? {} : { timeoutMs: this.#timeoutMs };
    return await untilFound(what, find, this.#watch, { ...options, ...limit });
  }
}

function checkController(controller: number): void {
  if (controller < SCSI_CONTROLLERS) return;
  throw badValue('Controller', controller, `is more than ${SCSI_CONTROLLERS - 1}`);
}
