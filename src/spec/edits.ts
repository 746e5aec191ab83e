import { join, normalize } from 'node:path/posix';
import { annotation, get } from './annotations.ts';
import { invalid } from './fields.ts';
import type { OciMount, OciSpec } from './oci.ts';

/** Small edits of a spec, each a function from spec to spec that leaves its argument alone. */

/** NAME_MAX, and PATH_MAX less room for the directory it is below; bytes. */
const longestName = 255;
const longestPath = 3500;

/** Bind-mounted into containers so that they see their own network identity; all in /etc. */
export const networkFiles = ['hostname', 'hosts', 'resolv.conf'] as const;
export type NetworkFile = (typeof networkFiles)[number];

/** The mount destination as a comparable path: "/etc//hosts/" and "/etc/hosts" are one place. */
function place(destination: string): string {
  const path = normalize(`/${destination}`);
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

function hasMount(spec: OciSpec, destination: string): boolean {
  return (spec.mounts ?? []).some((mount) => place(mount.destination) === destination);
}

/** A path below another that the host sent: no "..", no name or whole longer than the system takes. */
export function checkBelow(path: string, field: string): string {
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.includes('..')) throw invalid(field, 'must not contain ".."');
  if (names.some((name) => Buffer.byteLength(name) > longestName)) {
    throw invalid(field, `holds a name of more than ${longestName} bytes`);
  }
  const below = names.join('/');
  if (Buffer.byteLength(below) > longestPath) {
    throw invalid(field, `is longer than ${longestPath} bytes`);
  }
  return below;
}

/** The network files the spec does not mount itself. */
export function missingNetworkFiles(spec: OciSpec): NetworkFile[] {
  return networkFiles.filter((name) => !hasMount(spec, `/etc/${name}`));
}

/** Binds `directory`/NAME to /etc/NAME, read-only when the root is. */
export function bindNetworkFiles(
  spec: OciSpec,
  directory: string,
  names: readonly NetworkFile[],
): OciSpec {
  const options = spec.root?.readonly === true ? ['bind', 'ro'] : ['bind'];
  const mounts = names.map(
    (name): OciMount => ({
      destination: `/etc/${name}`,
      type: 'bind',
      source: join(directory, name),
      options: [...options],
    }),
  );
  return { ...spec, mounts: [...(spec.mounts ?? []), ...mounts] };
}

export function setCgroup(spec: OciSpec, cgroupsPath: string): OciSpec {
  return { ...spec, linux: { ...spec.linux, cgroupsPath } };
}

/** Removes the section that only the host and this agent understand. */
export function dropWindows(spec: OciSpec): OciSpec {
  const { windows: _, ...rest } = spec;
  return rest;
}

/** Shares the VM's network: without an entry for it no network namespace is made or joined. */
export function dropNetworkNamespace(spec: OciSpec): OciSpec {
  const namespaces = (spec.linux?.namespaces ?? []).filter(({ type }) => type !== 'network');
  return { ...spec, linux: { ...spec.linux, namespaces } };
}

/** Adds RLIMIT_CORE from the annotation "soft;hard" (bytes, up to 2^64-1 for no limit); a limit of that type in the spec is replaced, since runc refuses two. */
export function applyCoreLimit(spec: OciSpec): OciSpec {
  const value = get(spec.annotations ?? {}, annotation.rlimitCore) ?? '';
  if (value === '') return spec;
  const field = `OciSpecification.annotations.${annotation.rlimitCore}`;
  const match = /^([0-9]{1,20});([0-9]{1,20})$/.exec(value);
  if (match === null) throw invalid(field, `must be "soft;hard", is ${JSON.stringify(value)}`);
  const [soft, hard] = [BigInt(match[1] ?? ''), BigInt(match[2] ?? '')];
  if (soft > 0xffff_ffff_ffff_ffffn || hard > 0xffff_ffff_ffff_ffffn) {
    throw invalid(field, 'a limit is beyond 64 bits');
  }
  if (soft > hard) throw invalid(field, 'the soft limit is above the hard one');
  const others = (spec.process?.rlimits ?? []).filter(({ type }) => type !== 'RLIMIT_CORE');
  const rlimits = [...others, { type: 'RLIMIT_CORE', hard, soft }];
  return { ...spec, process: { ...spec.process, rlimits } };
}

/** loff_t of the kernel: no file system is larger. */
const largestFileSystem = 0x7fff_ffff_ffff_ffffn;

/** Replaces /dev/shm by one of the size in the annotation, in KiB. */
export function applyShmSize(spec: OciSpec): OciSpec {
  const value = get(spec.annotations ?? {}, annotation.shmSizeKb);
  if (value === undefined) return spec;
  const field = `OciSpecification.annotations.${annotation.shmSizeKb}`;
  if (!/^[0-9]{1,20}$/.test(value) || BigInt(value) > 0xffff_ffff_ffff_ffffn) {
    throw invalid(field, `/dev/shm size must be a valid integer, is ${JSON.stringify(value)}`);
  }
  if (BigInt(value) === 0n) throw invalid(field, '/dev/shm size must be non-zero');
  // The kernel multiplies without a check, and a size that wraps around is any size.
  if (BigInt(value) * 1024n > largestFileSystem) {
    throw invalid(field, `/dev/shm size is beyond ${largestFileSystem} bytes`);
  }
  const shm: OciMount = {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${BigInt(value)}k`],
  };
  const others = (spec.mounts ?? []).filter(({ destination }) => place(destination) !== '/dev/shm');
  return { ...spec, mounts: [...others, shm] };
}
