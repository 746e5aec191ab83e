import { type BigIntStats, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path/posix';
import { hasCode } from '../os/errors.ts';
import { invalid } from './fields.ts';
import type { OciSpec } from './oci.ts';

/** A device node of the guest, in the words of OCI (config-linux.md, "Devices"). */
export interface GuestDevice {
  readonly path: string;
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number;
  readonly uid: number;
  readonly gid: number;
}

/** `linux.devices` of a spec as far as it is read here. */
interface SpecDevice {
  readonly path: string;
  readonly [field: string]: unknown;
}

type Access = 'r' | 'rwm';

/** Directories of /dev that hold no devices of the machine, or those of one container each. */
const notOfTheMachine = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev']);

/** The node at `path`, links not followed. Undefined when there is none, or it is no device. */
export function readDevice(path: string): GuestDevice | undefined {
  let stats: BigIntStats;
  try {
    stats = lstatSync(path, { bigint: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
  const type = stats.isCharacterDevice() ? 'c' : stats.isBlockDevice() ? 'b' : undefined;
  // 0:0 is no device at all: what overlay file systems mark a removed file with.
  if (type === undefined || stats.rdev === 0n) return undefined;
  return {
    path,
    type,
    ...numbersOf(stats.rdev),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
  };
}

/** makedev(3): both numbers are split over the 64 bits. */
function numbersOf(device: bigint): { major: number; minor: number } {
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xffff_f000n)),
    minor: Number((device & 0xffn) | ((device >> 12n) & 0xffff_ff00n)),
  };
}

/** Every device of the guest: the nodes below /dev, the system console's and pseudo-terminals apart. */
export function listDevices(directory = '/dev'): GuestDevice[] {
  const devices: GuestDevice[] = [];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      if (!notOfTheMachine.has(entry.name)) devices.push(...listDevices(path));
      continue;
    }
    if (entry.name === 'console') continue;
    const device = readDevice(path);
    if (device !== undefined) devices.push(device);
  }
  return devices;
}

/** All devices of the guest, and the right to use every one. */
export function grantAllDevices(spec: OciSpec): OciSpec {
  const all = new Map(specDevices(spec).map((device) => [device.path, device]));
  for (const device of listDevices()) all.set(device.path, { ...device });
  return withDevices(spec, [...all.values()], [{ allow: true, access: 'rwm' }]);
}

/** The devices a spec names as they are in this guest: the numbers that came are those of another machine. AgentError 'invalid-argument' for one that is not there. */
export function rereadDevices(spec: OciSpec): OciSpec {
  let reread: OciSpec = withDevices(spec, [], deviceRules(spec));
  for (const [index, { path }] of specDevices(spec).entries()) {
    const device = readDevice(path);
    if (device === undefined) {
      const field = `OciSpecification.linux.devices[${index}].path`;
      throw invalid(field, `${JSON.stringify(path.slice(0, 255))} is no device of this VM`);
    }
    reread = addDevice(reread, device);
  }
  return reread;
}

/** Gives a container one device of the guest, in place of another at that path, and the right to use it. */
export function addDevice(spec: OciSpec, device: GuestDevice): OciSpec {
  const others = specDevices(spec).filter(({ path }) => path !== device.path);
  const rules = [...deviceRules(spec), deviceRule(device, 'rwm')];
  return withDevices(spec, [...others, { ...device }], rules);
}

/** Lets a container use a device it has no node of from here. */
export function allowDevice(spec: OciSpec, device: GuestDevice, access: Access): OciSpec {
  const rules = [...deviceRules(spec), deviceRule(device, access)];
  return withDevices(spec, specDevices(spec), rules);
}

function deviceRule({ type, major, minor }: GuestDevice, access: Access): object {
  return { allow: true, type, major, minor, access };
}

function specDevices(spec: OciSpec): readonly SpecDevice[] {
  return (spec.linux?.devices ?? []) as readonly SpecDevice[];
}

function deviceRules(spec: OciSpec): readonly unknown[] {
  return (spec.linux?.resources?.devices ?? []) as readonly unknown[];
}

function withDevices(
  spec: OciSpec,
  devices: readonly SpecDevice[],
  rules: readonly unknown[],
): OciSpec {
  const resources = { ...spec.linux?.resources, ...(rules.length > 0 && { devices: rules }) };
  const { devices: _, ...linux } = spec.linux ?? {};
  return { ...spec, linux: { ...linux, ...(devices.length > 0 && { devices }), resources } };
}
