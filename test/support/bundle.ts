import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type {
  OciLinuxResources,
  OciMount,
  OciNamespace,
  OciSpec,
  OciUser,
} from '../../src/spec/oci.ts';
import { makeRootfs } from './rootfs.ts';

export interface SpecOptions {
  /** argv of init; a string is a script for `sh -c`. */
  args: string | string[];
  terminal?: boolean;
  consoleSize?: { height: number; width: number };
  /** Added to PATH and, with a terminal, TERM. */
  env?: string[];
  /** Default "/". */
  cwd?: string;
  user?: OciUser;
  /** Absolute, or relative to the bundle; default "rootfs". */
  rootPath?: string;
  readonlyRoot?: boolean;
  hostname?: string;
  /** Added to the mounts every container gets (proc, dev, devpts, shm, mqueue, sysfs). */
  mounts?: OciMount[];
  /** `own` (default), `none`: that of the agent, or the path of one to join. */
  pidNamespace?: 'own' | 'none' | { path: string };
  /** Added to pid (see `pidNamespace`), mount, ipc, uts and network. */
  namespaces?: OciNamespace[];
  resources?: OciLinuxResources;
  cgroupsPath?: string;
  annotations?: Record<string, string>;
  /** Of the OCI runtime specification, e.g. `createRuntime`. */
  hooks?: Record<string, { path: string; args?: string[] }[]>;
}

/** Docker's default set; the test machine may hold no more than this and CAP_SYS_ADMIN. */
const capabilities = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

const mounts: readonly OciMount[] = [
  { destination: '/proc', type: 'proc', source: 'proc' },
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
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
  },
  {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k'],
  },
  {
    destination: '/sys',
    type: 'sysfs',
    source: 'sysfs',
    options: ['nosuid', 'noexec', 'nodev', 'ro'],
  },
];

function namespacesOf(options: SpecOptions): OciNamespace[] {
  const pid = options.pidNamespace ?? 'own';
  const namespaces: OciNamespace[] = [
    { type: 'mount' },
    { type: 'ipc' },
    { type: 'uts' },
    { type: 'network' },
    ...(options.namespaces ?? []),
  ];
  if (pid === 'own') namespaces.push({ type: 'pid' });
  else if (pid !== 'none') namespaces.push({ type: 'pid', path: pid.path });
  return namespaces;
}

/**
 * A complete OCI spec that runc and crun accept as root on a machine with cgroup v1 or v2 and
 * without CAP_SYS_RESOURCE (no rlimit is raised, no capability asked for that may be missing).
 */
export function makeSpec(options: SpecOptions): OciSpec {
  const terminal = options.terminal ?? false;
  return {
    ociVersion: '1.0.2',
    process: {
      terminal,
      ...(options.consoleSize && { consoleSize: options.consoleSize }),
      user: options.user ?? { uid: 0, gid: 0 },
      args: typeof options.args === 'string' ? ['sh', '-c', options.args] : options.args,
      env: [
        'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
        ...(terminal ? ['TERM=xterm'] : []),
        ...(options.env ?? []),
      ],
      cwd: options.cwd ?? '/',
      capabilities: {
        bounding: capabilities,
        effective: capabilities,
        permitted: capabilities,
      },
      noNewPrivileges: true,
    },
    root: { path: options.rootPath ?? 'rootfs', readonly: options.readonlyRoot ?? false },
    hostname: options.hostname ?? 'test',
    mounts: [...mounts, ...(options.mounts ?? [])],
    ...(options.annotations && { annotations: options.annotations }),
    ...(options.hooks && { hooks: options.hooks }),
    linux: {
      namespaces: namespacesOf(options),
      resources: options.resources ?? {},
      ...(options.cgroupsPath !== undefined && { cgroupsPath: options.cgroupsPath }),
    },
  };
}

/** Makes a bundle: `directory` with `rootfs/` and config.json. Returns the directory. */
export function makeBundle(directory: string, spec: OciSpec): string {
  mkdirSync(directory, { recursive: true });
  if (spec.root?.path === 'rootfs') makeRootfs(join(directory, 'rootfs'));
  writeSpec(directory, spec);
  return directory;
}

/** Writes config.json, 64-bit integers digit for digit. */
export function writeSpec(bundle: string, spec: OciSpec): void {
  const text = JSON.stringify(spec, (_key, value: unknown) =>
    typeof value === 'bigint' ? rawJson(value) : value,
  );
  writeFileSync(join(bundle, 'config.json'), text);
}

function rawJson(value: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(value.toString());
}
