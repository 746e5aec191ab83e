import { existsSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { AgentError } from '../errors.ts';
import { DeviceMapper, type DmKey, type DmTarget } from '../os/device-mapper.ts';
import { hasCode } from '../os/errors.ts';
import { untilFound } from './devices/appearance.ts';
import { attribute } from './devices/sysfs.ts';
import type { Step } from './steps.ts';
import type { StorageWorld } from './world.ts';

/** Its node is there once its module is; nothing loads that when the node is missing. */
export async function openMapper(world: StorageWorld): Promise<DeviceMapper> {
  try {
    return new DeviceMapper();
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  try {
    await world.runTool('modprobe', ['dm-mod']);
    return new DeviceMapper();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new AgentError('not-supported', `this VM has no device mapper: ${reason}`, {
      operation: 'device mapper',
      cause,
    });
  }
}

export interface MappedDeviceOptions {
  name: string;
  readOnly: boolean;
  /** The table, made when its turn has come. */
  target: () => Promise<{ target: DmTarget; key?: DmKey }>;
  /** Told the node of the device. */
  made: (path: string) => void;
}

/** A step that puts a device-mapper device on top of another, and takes it away. */
export function mappedDeviceStep(options: MappedDeviceOptions, world: StorageWorld): Step {
  const { name, readOnly } = options;
  let path: string | undefined;
  return {
    name: `make the device ${name}`,
    run: async () => {
      const { target, key } = await options.target();
      using mapper = await openMapper(world);
      try {
        const secret = key === undefined ? {} : { key };
        const device = await mapper.create(name, [target], { readOnly, ...secret });
        path = device.path;
      } finally {
        key?.bytes.fill(0);
      }
      options.made(path);
    },
    undo: async () => {
      if (path !== undefined) await removeMapped(name, path, world);
    },
    memory: () => ({ path, free: path === undefined && mappedDevice(name) === undefined }),
    recall: (memory, done) => {
      const known = memory as { path?: string; free: boolean };
      // Cut off: one that was there before is not ours.
      path = done ? known.path : known.free ? mappedDevice(name) : undefined;
    },
  };
}

/** Node of the device-mapper device of that name, undefined for none. */
export function mappedDevice(name: string): string | undefined {
  const block = '/sys/block';
  if (!existsSync(block)) return undefined;
  const found = readdirSync(block).find(
    (each) => each.startsWith('dm-') && attribute(`${block}/${each}/dm/name`) === name,
  );
  return found === undefined ? undefined : `/dev/${found}`;
}

/**
 * Removes it now or, when its last user is still letting go, as soon as that is done: the kernel
 * says when.
 */
async function removeMapped(name: string, path: string, world: StorageWorld): Promise<void> {
  using mapper = await openMapper(world);
  try {
    if ((await mapper.remove(name)) === 'removed') return;
  } catch (error) {
    if (hasCode(error, 'ENXIO')) return;
    throw error;
  }
  const directory = `/sys/block/${basename(path)}`;
  const gone = () => (existsSync(directory) ? undefined : true);
  try {
    await untilFound('the end of its use', gone, world.watchDevices);
  } catch (error) {
    throw new AgentError('failed', `${path} (${name}) is in use`, {
      operation: 'remove a device',
      errno: 'EBUSY',
      cause: error,
    });
  }
}
