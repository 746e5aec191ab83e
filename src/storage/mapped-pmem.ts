import { basename } from 'node:path';
import { AgentError } from '../errors.ts';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { deviceMount } from './device-mount.ts';
import { attribute } from './devices/sysfs.ts';
import { type FileSystemType, findFileSystem } from './file-system.ts';
import { badValue, hostPath } from './host-path.ts';
import { mappedDeviceStep } from './mapped-device.ts';
import type { MountPlan } from './mount-plan.ts';
import { MountTarget } from './mount-target.ts';
import type { Step } from './steps.ts';
import { type ExpectedVerity, verityStep } from './verity-step.ts';
import type { StorageWorld } from './world.ts';

const DIRECTORY_MODE = 0o700;
const SECTOR = 512n;
/** Beyond it the kernel's sector numbers end. */
const LARGEST = 2n ** 63n;

/** A persistent memory device of the host, mounted read-only. */
export interface MappedPmem {
  /** N of /dev/pmemN. */
  device: number;
  mountPath: string;
  /** Only this part of it, in bytes. */
  slice: { offset: number | bigint; size: number | bigint } | undefined;
  verity: ExpectedVerity | undefined;
}

interface Slice {
  /** In sectors. */
  start: bigint;
  length: bigint;
}

export function mapPmem(pmem: MappedPmem, world: StorageWorld): MountPlan {
  const path = hostPath(pmem.mountPath, 'MountPath');
  const slice = pmem.slice === undefined ? undefined : checkSlice(pmem.slice);
  const target = new MountTarget(path, 'MountPath', world.directories);
  const state: { device: string } = { device: '' };
  const device = {
    get: () => state.device,
    set: (value: string) => {
      state.device = value;
    },
  };
  const name = `pmem${pmem.device}`;
  const steps: Step[] = [
    {
      name: 'find the device',
      run: async () => {
        state.device = await world.devices.pmem(pmem.device);
        if (slice !== undefined) checkEnd(slice, state.device);
      },
    },
  ];
  if (slice !== undefined) {
    const { start, length } = slice;
    const made = device.set;
    steps.push(
      mappedDeviceStep(
        {
          name: `dm-linear-${name}-${start * SECTOR}-${length * SECTOR}`,
          readOnly: true,
          target: async () => {
            const parameters = `${state.device} ${start}`;
            return { target: { start: 0n, length, type: 'linear', parameters } };
          },
          made,
        },
        world,
      ),
    );
  }
  if (pmem.verity !== undefined) {
    const part = slice === undefined ? '' : `-${slice.start}`;
    steps.push(verityStep(`dm-verity-${name}${part}`, pmem.verity, world, device));
  }
  steps.push(
    target.makeStep(DIRECTORY_MODE),
    target.mountStep('mount the device', async (scope) => {
      target.attach(scope.use(await pmemMount(state.device)));
    }),
  );
  return { path, title: `persistent memory device ${pmem.device}`, needs: [], steps };
}

function checkSlice(slice: { offset: number | bigint; size: number | bigint }): Slice {
  const sectors = (value: number | bigint, field: string): bigint => {
    const bytes = BigInt(value);
    if (bytes % SECTOR !== 0n) throw badValue(field, value, `is not a multiple of ${SECTOR}`);
    if (bytes >= LARGEST) throw badValue(field, value, 'is too large');
    return bytes / SECTOR;
  };
  const start = sectors(slice.offset, 'MappingInfo.DeviceOffsetInBytes');
  const length = sectors(slice.size, 'MappingInfo.DeviceSizeInBytes');
  if (length === 0n) throw badValue('MappingInfo.DeviceSizeInBytes', slice.size, 'is nothing');
  return { start, length };
}

/** Sectors of a block device, as sysfs has them. */
function checkEnd(slice: Slice, device: string): void {
  const size = BigInt(attribute(`/sys/class/block/${basename(device)}/size`) ?? 0);
  if (slice.start + slice.length <= size) return;
  const end = `ends beyond the device's ${size * SECTOR} bytes`;
  throw badValue('MappingInfo.DeviceSizeInBytes', slice.length * SECTOR, end);
}

/** With direct access where the device and the file system have it: its pages are not copied then. */
async function pmemMount(device: string): Promise<Fd> {
  const found = await findFileSystem(device);
  if (found === undefined) {
    throw new AgentError('failed', `${device} has no file system that is known`);
  }
  if (mayHaveDax(device, found.type)) {
    try {
      return await deviceMount(device, found.type, { readOnly: true, flags: ['dax'] });
    } catch (error) {
      // A block size or a kernel without it: the same content through the page cache.
      if (!hasCode(error, 'EINVAL') && !hasCode(error, 'EOPNOTSUPP')) throw error;
    }
  }
  return await deviceMount(device, found.type, { readOnly: true });
}

function mayHaveDax(device: string, type: FileSystemType): boolean {
  const has = attribute(`/sys/class/block/${basename(device)}/queue/dax`) === '1';
  return has && type !== 'squashfs';
}
