import { realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { AgentError } from '../errors.ts';
import { allowDevice, readDevice } from './devices.ts';
import { checkBelow } from './edits.ts';
import { invalid } from './fields.ts';
import type { OciMount, OciSpec } from './oci.ts';

/** Directories that the containers of a pod share, below that of the pod. */
export const podDirectories = {
  mounts: 'sandboxMounts',
  tmpfs: 'sandboxTmpfsMounts',
  hugePages: 'hugepages',
  logs: 'logs',
} as const;

/**
 * A directory of the pod that a container mounts. The container's peers can write there, so the
 * runtime is not given its path, which could lead elsewhere by the time it is used, but `pinned`:
 * a place of the agent's where what was found is mounted while the runtime creates the container.
 */
export interface PlannedSource {
  /** Directory it is confined to. */
  readonly root: string;
  /** Below the root; made when missing. */
  readonly path: string;
  readonly pinned: string;
  /** A file system of huge pages of this size ("2M") is mounted there when it is made. */
  readonly pageSize?: string;
  /** For errors. */
  readonly field: string;
}

export interface PlannedMounts {
  readonly spec: OciSpec;
  readonly sources: readonly PlannedSource[];
}

/** Holds the directories of several pods in one VM. */
export const virtualPods = 'virtual-pods';

/** Directory of a pod, from the bundle of its sandbox: that one itself, or one beside it for each of several pods. */
export function podDirectoryOf(pod: { podId: string; virtual: boolean }, bundle: string): string {
  return pod.virtual ? join(dirname(bundle), virtualPods, pod.podId) : bundle;
}

const confinedSources = {
  'sandbox://': podDirectories.mounts,
  'sandbox-tmp://': podDirectories.tmpfs,
  'hugepages://': podDirectories.hugePages,
} as const;
const uvmPrefix = 'uvm://';
const blockDevicePrefix = 'blockdev://';

/**
 * Turns the mounts only a pod has into mounts of the VM. `bundle` is where pinned sources will be.
 * AgentError 'invalid-argument' names the mount's field: for a path that leaves its root, a source
 * that does not exist, a size of huge pages the VM does not have.
 */
export function planPodMounts(spec: OciSpec, podDirectory: string, bundle: string): PlannedMounts {
  const sources: PlannedSource[] = [];
  let planned = spec;
  const mounts = (spec.mounts ?? []).map((mount, index): OciMount => {
    const field = `OciSpecification.mounts[${index}]`;
    const confined = confinedSource(mount, podDirectory, `${field}.source`);
    if (confined !== undefined) {
      const pinned = join(bundle, 'sources', String(sources.length));
      sources.push({ ...confined, pinned });
      return { ...mount, source: pinned };
    }
    if (mount.source?.startsWith(uvmPrefix)) return fromUvm(mount, mount.source, `${field}.source`);
    if (mount.destination.startsWith(blockDevicePrefix)) {
      const { device, ...plain } = blockDevice(mount, field);
      planned = allowDevice(planned, device, mount.options?.includes('ro') ? 'r' : 'rwm');
      return plain.mount;
    }
    return mount;
  });
  return { spec: spec.mounts === undefined ? planned : { ...planned, mounts }, sources };
}

/** Refuses mounts that only a container in a pod can have. */
export function refusePodMounts(spec: OciSpec): void {
  for (const [index, { source = '', destination }] of (spec.mounts ?? []).entries()) {
    const field = `OciSpecification.mounts[${index}]`;
    const prefix = [...Object.keys(confinedSources), uvmPrefix].find((p) => source.startsWith(p));
    if (prefix !== undefined) {
      throw invalid(`${field}.source`, `${prefix} is only for containers in a pod`);
    }
    if (destination.startsWith(blockDevicePrefix)) {
      throw invalid(`${field}.destination`, `${blockDevicePrefix} is only for containers in a pod`);
    }
  }
}

function confinedSource(
  { source = '' }: OciMount,
  podDirectory: string,
  field: string,
): Omit<PlannedSource, 'pinned'> | undefined {
  for (const [prefix, directory] of Object.entries(confinedSources)) {
    if (!source.startsWith(prefix)) continue;
    const path = checkBelow(source.slice(prefix.length), field);
    const root = join(podDirectory, directory);
    if (prefix !== 'hugepages://') return { root, path, field };
    return { root, path, field, pageSize: checkPageSize(path, field) };
  }
  return undefined;
}

const unitBytes = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 } as const;

/** The first name of the path: "2M", "1G". */
function checkPageSize(path: string, field: string): string {
  const size = path.split('/', 1)[0] ?? '';
  const match = /^([1-9][0-9]{0,5})([KMG])B?$/i.exec(size);
  if (match === null) throw invalid(field, `begins with no size of huge pages, as in "2M/name"`);
  const unit = (match[2] ?? '').toUpperCase() as keyof typeof unitBytes;
  const kilobytes = (Number(match[1]) * unitBytes[unit]) / 1024;
  const known = statSync(`/sys/kernel/mm/hugepages/hugepages-${kilobytes}kB`, {
    throwIfNoEntry: false,
  });
  if (known === undefined) throw invalid(field, `this VM has no huge pages of ${size}`);
  return `${match[1]}${unit}`;
}

function fromUvm(mount: OciMount, source: string, field: string): OciMount {
  const path = `/${checkBelow(source.slice(uvmPrefix.length), field)}`;
  if (statSync(path, { throwIfNoEntry: false }) === undefined) {
    throw invalid(field, `${path} does not exist in the VM`);
  }
  return { ...mount, source: path };
}

function blockDevice(mount: OciMount, field: string) {
  const destination = mount.destination.slice(blockDevicePrefix.length);
  if (checkBelow(destination, `${field}.destination`) === '') {
    throw invalid(`${field}.destination`, 'names no path in the container');
  }
  const source = mount.source ?? '';
  const device = source.startsWith('/')
    ? readDevice(realPath(source, `${field}.source`))
    : undefined;
  if (device?.type !== 'b') {
    const shown = JSON.stringify(source.slice(0, 255));
    throw invalid(`${field}.source`, `${shown} leads to no block device of this VM`);
  }
  return { device, mount: { ...mount, destination, source: device.path } };
}

function realPath(path: string, field: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw invalid(field, AgentError.from(error).message, error);
  }
}
