import { realpathSync } from 'node:fs';
import { join } from 'node:path/posix';
import { hasCode } from '../os/errors.ts';
import type { Warn } from './annotations.ts';
import { addDevice, type GuestDevice, listDevices } from './devices.ts';
import { invalid } from './fields.ts';
import type { OciSpec } from './oci.ts';

/** Where the VM's devices are found; other directories in tests. */
export interface DeviceTrees {
  readonly sys: string;
  readonly dev: string;
}

const ownTrees: DeviceTrees = { sys: '/sys', dev: '/dev' };

/** `idType` of PCI devices in `windows.devices`, the older form too; GPUs are refused before. */
const pciTypes: readonly unknown[] = ['vpci-instance-id', 'vpci'];

interface AssignedDevice {
  readonly id?: unknown;
  readonly idType?: unknown;
}

/**
 * Gives a container the nodes of the PCI devices that the host has assigned to it, by the GUID of
 * the device's bus under Hyper-V, else by its PCI address. AgentError 'invalid-argument' names the
 * device that is not there, or has no nodes: it must have been added before.
 */
export function addAssignedDevices(spec: OciSpec, warn: Warn, trees = ownTrees): OciSpec {
  const { devices } = (spec.windows ?? {}) as { devices?: unknown };
  if (!Array.isArray(devices)) return spec;
  let assigned = spec;
  for (const [index, device] of (devices as (AssignedDevice | null)[]).entries()) {
    const field = `OciSpecification.windows.devices[${index}]`;
    if (!pciTypes.includes(device?.idType)) {
      warn('a device of unknown type is ignored', { field, idType: device?.idType });
      continue;
    }
    for (const node of nodesOf(device?.id, `${field}.id`, trees)) {
      assigned = addDevice(assigned, node);
    }
  }
  return assigned;
}

function nodesOf(id: unknown, field: string, trees: DeviceTrees): GuestDevice[] {
  if (typeof id !== 'string' || !/^[0-9A-Za-z][0-9A-Za-z.:-]{0,63}$/.test(id)) {
    throw invalid(field, 'must be the id of a device');
  }
  const { sys, dev } = trees;
  const device =
    realPath(join(sys, 'bus/vmbus/devices', id.toLowerCase())) ??
    realPath(join(sys, 'bus/pci/devices', id.toLowerCase()));
  if (device === undefined) throw invalid(field, `the VM has no device ${id}`);
  const nodes = listDevices(dev).filter(({ type, major, minor }) => {
    const kind = type === 'c' ? 'char' : 'block';
    const origin = realPath(join(sys, 'dev', kind, `${major}:${minor}`));
    return origin?.startsWith(`${device}/`) === true;
  });
  if (nodes.length === 0) throw invalid(field, `device ${id} has no nodes in ${dev}`);
  return nodes;
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
