import { accessSync, constants } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { cgroupMounts } from '../../cgroup/hierarchy.ts';
import type { ReadyCondition } from '../management-types.ts';
import type { RuntimeCatalogue } from '../runtime-catalogue.ts';

/**
 * Whether containers can be made: the trusted runtime's program answers, and cgroups can be written
 * to. Names as in the CRI's status.
 */
export async function runtimeReady(catalogue: RuntimeCatalogue): Promise<ReadyCondition> {
  const type = 'RuntimeReady';
  const runtime = catalogue.all.get(catalogue.trusted);
  try {
    if (runtime === undefined) throw new Error(`there is no runtime ${catalogue.trusted}`);
    await runtime.version();
  } catch (error) {
    return { type, status: false, reason: 'RuntimeNotFound', message: text(error) };
  }
  const writable = cgroupProblem();
  if (writable === undefined) return { type, status: true };
  return { type, status: false, reason: 'CgroupsNotWritable', message: writable };
}

/** Named hierarchies alone group nothing a container needs. */
function cgroupProblem(): string | undefined {
  const mounts = cgroupMounts();
  if (mounts.length === 0) return 'no cgroup hierarchy is mounted';
  const refused = mounts
    .map((mount) => mount.mountPoint)
    .filter((directory) => !canWrite(directory));
  return refused.length === 0 ? undefined : `cannot be written to: ${refused.join(', ')}`;
}

/** access(2) also looks whether the mount is read-only. */
function canWrite(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether containers can be given a network: the VM's own lo is up. Adapters come with the pods they
 * are for, so a VM without one is as ready as it can be.
 */
export function networkReady(interfaces = networkInterfaces()): ReadyCondition {
  const type = 'NetworkReady';
  const isUp = Object.values(interfaces).some((addresses) =>
    addresses?.some((address) => address.internal),
  );
  if (isUp) return { type, status: true };
  return { type, status: false, reason: 'LoopbackDown', message: 'lo has no address' };
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
