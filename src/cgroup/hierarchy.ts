import { type MountInfo, readMountInfo } from '../os/mountinfo.ts';
import { readFileIfPresent } from './files.ts';

/**
 * Where one cgroup is on this machine, as absolute directories. In the hybrid layout both parts
 * are filled: some controllers in v1 hierarchies, the rest (or none) in the unified one.
 */
export interface Cgroup {
  /** v1: directory by controller ("memory"); co-mounted controllers share one, named hierarchies are "name=x". */
  readonly controllers: ReadonlyMap<string, string>;
  /** v2: directory in the unified hierarchy. */
  readonly unified: string | undefined;
}

declare const membershipBrand: unique symbol;
/** Text of /proc/PID/cgroup. */
export type Membership = string & { readonly [membershipBrand]: true };

/** One mounted hierarchy, from proc_pid_mountinfo(5). */
export interface CgroupMount {
  readonly version: 1 | 2;
  /** The cgroup that is the root of this mount. */
  readonly root: string;
  readonly mountPoint: string;
  /** v1: mount options, among them the controllers. */
  readonly options: readonly string[];
}

/**
 * The cgroup of a live process. Undefined when the process has ended, also when it is still a
 * zombie: v1 hierarchies show those in the root cgroup. Hierarchies that are not mounted here,
 * or whose mount does not reach the cgroup (cgroup_namespaces(7)), are left out.
 *
 * Synchronous: two small files of /proc take less than one trip through the thread pool.
 */
export function locateCgroup(pid: number): Cgroup | undefined {
  const membership = readMembership(pid);
  // The state is read after the membership: not a zombie now means it was none then.
  const stat = readFileIfPresent(`/proc/${pid}/stat`);
  if (membership === undefined || stat === undefined || hasEnded(stat)) return undefined;
  return resolveCgroup(membership, cgroupMounts());
}

/**
 * What the kernel says of the cgroups of a live process: all of it that has to be read while the
 * process lives, and little enough to be read for every container that is created. Undefined when
 * the process is gone.
 */
export function readMembership(pid: number): Membership | undefined {
  return readFileIfPresent(`/proc/${pid}/cgroup`) as Membership | undefined;
}

/**
 * The cgroup of a container from its init's membership, without the hierarchies in which that is
 * the agent's own cgroup, one above it, or the root: acting on those, or counting in them, would
 * mean the agent and the machine. Undefined when nothing is left, as for a process that was a
 * zombie: v1 hierarchies show those in the root.
 */
export function ownCgroup(membership: Membership): Cgroup | undefined {
  return apartFromAgent(resolveCgroup(membership, cgroupMounts()));
}

/** {@link ownCgroup} of a process that lives now. */
export function locateOwnCgroup(pid: number): Cgroup | undefined {
  const membership = readMembership(pid);
  return membership === undefined ? undefined : ownCgroup(membership);
}

/** The part of a cgroup that is apart from the agent's; undefined when none is. */
export function apartFromAgent(cgroup: Cgroup): Cgroup | undefined {
  const agent = locateCgroup(process.pid);
  const roots = new Set(cgroupMounts().map((mount) => mount.mountPoint));
  const isApart = (directory: string | undefined, own: string | undefined): boolean =>
    directory !== undefined &&
    !roots.has(directory) &&
    !`${own ?? ''}/`.startsWith(`${directory}/`);
  const controllers = new Map(
    [...cgroup.controllers].filter(([name, directory]) =>
      isApart(directory, agent?.controllers.get(name)),
    ),
  );
  const unified = isApart(cgroup.unified, agent?.unified) ? cgroup.unified : undefined;
  if (controllers.size === 0 && unified === undefined) return undefined;
  return { controllers, unified };
}

let mounts: readonly CgroupMount[] = [];

/** Kept once there are any: hierarchies are mounted when the machine starts, and the file grows with each container. */
export function cgroupMounts(): readonly CgroupMount[] {
  if (mounts.length === 0) mounts = cgroupMountsOf(readMountInfo());
  return mounts;
}

/** State letter after the last ")", see proc_pid_stat(5): the name in parentheses may hold anything. */
function hasEnded(stat: string): boolean {
  const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
  return state === 'Z' || state === 'X' || state === 'x';
}

/** Those of a mount table that are of cgroups, in its order. */
export function cgroupMountsOf(table: readonly MountInfo[]): CgroupMount[] {
  return table
    .filter(({ type }) => type === 'cgroup' || type === 'cgroup2')
    .map(({ type, root, path, options }) => ({
      version: type === 'cgroup' ? 1 : 2,
      root,
      mountPoint: path,
      options,
    }));
}

/** Joins the lines of /proc/PID/cgroup (cgroups(7): "hierarchy:controllers:path") with the mounts. */
export function resolveCgroup(membership: string, mounts: readonly CgroupMount[]): Cgroup {
  const controllers = new Map<string, string>();
  let unified: string | undefined;
  for (const line of membership.split('\n')) {
    const match = /^(\d+):([^:]*):(\/.*)$/.exec(line);
    if (match === null) continue;
    const [, , names = '', path = '/'] = match;
    if (names === '') {
      unified = directoryOf(path, mounts, (mount) => mount.version === 2);
      continue;
    }
    for (const name of names.split(',')) {
      const directory = directoryOf(
        path,
        mounts,
        (mount) => mount.version === 1 && mount.options.includes(name),
      );
      if (directory !== undefined) controllers.set(name, directory);
    }
  }
  return { controllers, unified };
}

function directoryOf(
  path: string,
  mounts: readonly CgroupMount[],
  matches: (mount: CgroupMount) => boolean,
): string | undefined {
  for (const mount of mounts) {
    if (!matches(mount)) continue;
    const below = relativeTo(mount.root, path.replace(/ \(deleted\)$/, ''));
    if (below !== undefined)
      return below === '' ? mount.mountPoint : `${mount.mountPoint}/${below}`;
  }
  return undefined;
}

/**
 * The part of `path` below `root`; undefined when it is not below. Both are seen from the same
 * cgroup namespace, from whose root they may climb ("/../x"): one that climbs where the other
 * does not lies outside the mount, under a name that cannot be known.
 */
function relativeTo(root: string, path: string): string | undefined {
  const above = root.split('/').filter((part) => part !== '');
  const parts = path.split('/').filter((part) => part !== '');
  if (above.some((part, index) => parts[index] !== part)) return undefined;
  const below = parts.slice(above.length);
  return below.includes('..') ? undefined : below.join('/');
}
