import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { hasCode } from '../os/errors.ts';
import type { OciLinuxResources } from '../spec/oci.ts';
import { type Cgroup, type CgroupMount, cgroupMounts } from './hierarchy.ts';
import { type LimitFile, limitFiles } from './limits.ts';
import { removeEmpty } from './processes.ts';

/** Controllers as cgroup.controllers names them, of those that limits are set with. */
const delegated = ['memory', 'cpu', 'cpuset', 'pids', 'io', 'hugetlb'];

/** Where a cgroup of that absolute path is, or would be, in every hierarchy: as a runtime takes `cgroupsPath`. */
export function cgroupAt(path: string, mounts = cgroupMounts()): Cgroup {
  const controllers = new Map<string, string>();
  let unified: string | undefined;
  for (const mount of mounts) {
    const directory = join(mount.mountPoint, path);
    if (mount.version === 2) unified ??= directory;
    else for (const name of controllersOf(mount)) controllers.set(name, directory);
  }
  return { controllers, unified };
}

const known = [
  'memory',
  'cpu',
  'cpuacct',
  'cpuset',
  'pids',
  'hugetlb',
  'blkio',
  'devices',
  'freezer',
];
const alsoKnown = ['net_cls', 'net_prio', 'perf_event', 'rdma', 'misc'];

function controllersOf({ options }: CgroupMount): string[] {
  return options.filter(
    (name) => name.startsWith('name=') || known.includes(name) || alsoKnown.includes(name),
  );
}

/**
 * Makes a cgroup with these limits before anything runs in it: `inner` for others to be put below,
 * else for processes, since cgroup v2 allows only one of both. On v1 it is in the hierarchies of its
 * limits and of `controllers`. One that is there keeps the limits that are not among these. A limit the kernel has no file for
 * is left out with a warning. AgentError 'invalid-argument' names the
 * limit that is refused; nothing is left behind then.
 */
export async function makeCgroup(
  path: string,
  resources: OciLinuxResources,
  options: { inner: boolean; log: Logger; controllers?: readonly LimitFile['controller'][] },
): Promise<Cgroup> {
  const { inner, log, controllers = [] } = options;
  const cgroup = cgroupAt(path);
  const limits = { 1: limitFiles(resources, 1), 2: limitFiles(resources, 2) };
  const made: string[] = [];
  try {
    const limited = limits[1].map((limit) => limit.controller);
    for (const controller of new Set([...controllers, ...limited])) {
      const directory = cgroup.controllers.get(controller);
      if (directory === undefined) continue;
      makeDirectory(directory, controller, made);
      const own = limits[1].filter((limit) => limit.controller === controller);
      for (const limit of own) writeLimit(directory, limit, log);
    }
    if (cgroup.unified !== undefined) {
      const own = limits[2].filter(({ controller }) => !cgroup.controllers.has(controller));
      const wanted = isAlone(cgroup) ? delegated : own.map(({ controller }) => controller);
      delegate(cgroup.unified, path, { made, wanted });
      if (inner) handDown(cgroup.unified, wanted);
      for (const limit of own) writeLimit(cgroup.unified, limit, log);
    }
    return cgroup;
  } catch (error) {
    await removeEmpty({
      controllers: new Map(made.map((each) => [each, each])),
      unified: undefined,
    });
    throw error;
  }
}

/**
 * Whether v2 is all there is. Beside v1 it has the controllers that v1 left, and some runtimes (crun)
 * refuse a machine where anybody has put those to use: only what a limit needs is handed down there.
 */
function isAlone({ controllers }: Cgroup): boolean {
  return [...controllers.keys()].every((name) => name.startsWith('name='));
}

/** With those above it; a v1 cpuset takes no limits and no processes before it has cpus and memory. */
function makeDirectory(directory: string, controller: string, made: string[]): void {
  try {
    mkdirSync(directory, 0o755);
    made.unshift(directory);
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return;
    if (!hasCode(error, 'ENOENT')) throw error;
    makeDirectory(dirname(directory), controller, made);
    makeDirectory(directory, controller, made);
    return;
  }
  if (controller === 'cpuset') inheritCpuset(directory);
}

function inheritCpuset(directory: string): void {
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    if (readFileSync(join(directory, name), 'latin1').trim() !== '') continue;
    writeFileSync(join(directory, name), readFileSync(join(dirname(directory), name)));
  }
}

/** cgroups(7): a controller is in a v2 cgroup when the one above hands it down, and so on up to the root. */
function delegate(
  directory: string,
  path: string,
  { made, wanted }: { made: string[]; wanted: readonly string[] },
): void {
  let here = directory.slice(0, directory.length - path.length) || '/';
  for (const name of path.split('/').filter((part) => part !== '')) {
    handDown(here, wanted);
    here = join(here, name);
    try {
      mkdirSync(here, 0o755);
      made.unshift(here);
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
  }
}

function handDown(directory: string, wanted: readonly string[]): void {
  const available = readFileSync(join(directory, 'cgroup.controllers'), 'latin1').trim().split(' ');
  for (const name of wanted.filter((each) => available.includes(each))) {
    try {
      writeFileSync(join(directory, 'cgroup.subtree_control'), `+${name}`);
    } catch (error) {
      // It stays where it is used by others: in a v1 hierarchy, or by processes of the root.
      if (!hasCode(error, 'EBUSY') && !hasCode(error, 'EINVAL')) throw error;
    }
  }
}

function writeLimit(directory: string, limit: LimitFile, log: Logger): void {
  try {
    writeFileSync(join(directory, limit.name), limit.value, { flag: 'r+' });
  } catch (error) {
    const { field, name, value } = limit;
    if (hasCode(error, 'ENOENT')) {
      log.warning('the kernel has no such limit', { field, file: name });
      return;
    }
    const errno = (error as NodeJS.ErrnoException).code;
    throw new AgentError('invalid-argument', `${field}: ${value} is refused by ${name}: ${errno}`, {
      field,
      cause: error,
    });
  }
}
