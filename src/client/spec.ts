import type { OciLinuxResources, OciMount, OciProcess, OciSpec, OciUser } from '../spec/oci.ts';

/** What a caller chooses of a container; everything else gets a usual, safe default. */
export interface SpecOptions {
  /** argv of the init process. */
  args: readonly string[];
  /** Root directory, a path in the guest. */
  rootfs: string;
  readonlyRootfs?: boolean;
  /** "NAME=value"; PATH is added when it is missing, TERM for a terminal. */
  env?: readonly string[];
  /** Default "/". */
  cwd?: string;
  user?: OciUser;
  hostname?: string;
  terminal?: boolean;
  /** Initial size of the terminal in characters. */
  size?: { width: number; height: number };
  /** Mounted after the usual ones. */
  mounts?: readonly OciMount[];
  resources?: ResourceOptions;
  /** 'none' (default): an own network namespace with a loopback only; 'host': the guest's own. */
  network?: 'none' | 'host';
}

export interface ResourceOptions {
  /** Bytes of memory. */
  memory?: number;
  /** Processors, fractions allowed: a quota of the 100 ms period. */
  cpus?: number;
  /** Most processes and threads at a time. */
  pids?: number;
}

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The CFS period in microseconds; the kernel's own default. */
const CPU_PERIOD = 100_000;

// What container engines grant by default: enough for package managers and servers that drop
// their own rights, nothing that reaches the guest's kernel configuration.
const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
] as const;

// Files of /proc and /sys that tell about, or change, the whole guest.
const MASKED_PATHS = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
] as const;

const READONLY_PATHS = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
] as const;

/** An OCI runtime specification (config.md) for an ordinary container. */
export function defaultSpec(options: SpecOptions): OciSpec {
  const namespaces = ['pid', 'ipc', 'uts', 'mount'];
  if (options.network !== 'host') namespaces.push('network');
  return {
    ociVersion: '1.0.2',
    process: defaultProcess(options),
    root: { path: options.rootfs, readonly: options.readonlyRootfs ?? false },
    ...(options.hostname === undefined ? {} : { hostname: options.hostname }),
    mounts: [...defaultMounts(), ...(options.mounts ?? [])],
    linux: {
      namespaces: namespaces.map((type) => ({ type })),
      resources: {
        devices: [{ allow: false, access: 'rwm' }],
        ...linuxResources(options.resources ?? {}),
      },
      maskedPaths: [...MASKED_PATHS],
      readonlyPaths: [...READONLY_PATHS],
    },
  };
}

/** The process part of the specification; also what an exec sends. */
export function defaultProcess(
  options: Omit<SpecOptions, 'rootfs' | 'mounts' | 'resources'>,
): OciProcess {
  return {
    terminal: options.terminal ?? false,
    ...(options.terminal === true && options.size !== undefined
      ? { consoleSize: { height: options.size.height, width: options.size.width } }
      : {}),
    user: options.user ?? { uid: 0, gid: 0 },
    args: [...options.args],
    env: defaultEnvironment(options.env ?? [], options.terminal ?? false),
    cwd: options.cwd ?? '/',
    capabilities: {
      bounding: [...CAPABILITIES],
      effective: [...CAPABILITIES],
      permitted: [...CAPABILITIES],
    },
    rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
    noNewPrivileges: true,
  };
}

/** The part of config-linux.md's `resources` that sets these limits; empty for none. */
export function linuxResources(options: ResourceOptions): OciLinuxResources {
  const { memory, cpus, pids } = options;
  return {
    ...(memory === undefined ? {} : { memory: { limit: memory } }),
    ...(cpus === undefined
      ? {}
      : { cpu: { quota: Math.round(cpus * CPU_PERIOD), period: CPU_PERIOD } }),
    ...(pids === undefined ? {} : { pids: { limit: pids } }),
  };
}

function defaultEnvironment(given: readonly string[], terminal: boolean): string[] {
  const has = (name: string): boolean => given.some((entry) => entry.startsWith(`${name}=`));
  return [
    ...(has('PATH') ? [] : [`PATH=${DEFAULT_PATH}`]),
    ...(terminal && !has('TERM') ? ['TERM=xterm'] : []),
    ...given,
  ];
}

function defaultMounts(): OciMount[] {
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
    },
    {
      destination: '/dev/mqueue',
      type: 'mqueue',
      source: 'mqueue',
      options: ['nosuid', 'noexec', 'nodev'],
    },
    {
      destination: '/sys',
      type: 'sysfs',
      source: 'sysfs',
      options: ['nosuid', 'noexec', 'nodev', 'ro'],
    },
  ];
}
