import { isAbsolute } from 'node:path/posix';
import {
  boolean,
  canonical,
  each,
  type Fields,
  invalid,
  list,
  object,
  optional,
  text,
  unsigned,
} from './fields.ts';
import type { OciMount, OciNamespace, OciProcess, OciRlimit, OciSpec, OciUser } from './oci.ts';

const maxUint32 = 0xffff_ffffn;
const maxUint64 = 0xffff_ffff_ffff_ffffn;

const specFields = [
  'ociVersion',
  'process',
  'root',
  'hostname',
  'mounts',
  'annotations',
  'hooks',
  'linux',
  'windows',
];
const processFields = [
  'terminal',
  'consoleSize',
  'user',
  'args',
  'commandLine',
  'env',
  'cwd',
  'capabilities',
  'rlimits',
  'noNewPrivileges',
  'apparmorProfile',
  'oomScoreAdj',
  'selinuxLabel',
];
const linuxFields = [
  'namespaces',
  'cgroupsPath',
  'resources',
  'devices',
  'seccomp',
  'maskedPaths',
  'readonlyPaths',
  'rootfsPropagation',
  'sysctl',
  'uidMappings',
  'gidMappings',
  'mountLabel',
  'intelRdt',
  'personality',
];

const resourceFields = [
  'devices',
  'memory',
  'cpu',
  'pids',
  'blockIO',
  'hugepageLimits',
  'network',
  'rdma',
  'unified',
];

/**
 * Checks an OCI spec from the host as far as this agent reads or edits it. Unknown fields and
 * 64-bit integers are kept; known ones get their exact spelling; a missing cwd is "/". The value
 * itself is not changed. `field` is the path errors start with. AgentError 'invalid-argument'
 * names the field.
 */
export function parseSpec(value: unknown, field = 'OciSpecification'): OciSpec {
  const spec = canonical(value, field, specFields);
  optional(spec, 'ociVersion', field, text);
  spec.process = parseProcess(spec.process, `${field}.process`);
  spec.root = parseRoot(spec.root, `${field}.root`);
  spec.linux = parseLinux(spec.linux, `${field}.linux`);
  optional(spec, 'hostname', field, text);
  optional(spec, 'mounts', field, each(parseMount));
  optional(spec, 'annotations', field, parseAnnotations);
  return spec as OciSpec;
}

/**
 * Checks a process object: of a spec, or of an exec. `defaultCwd` is taken when it names no
 * working directory. AgentError 'invalid-argument' names the field.
 */
export function parseProcess(
  value: unknown,
  field = 'OciProcess',
  defaultCwd = '/',
): OciProcess & { args: string[]; cwd: string } {
  const process = canonical(value, field, processFields);
  process.args = parseArgs(process.args, `${field}.args`);
  optional(process, 'env', field, each(parseVariable));
  process.cwd = parseCwd(process.cwd, `${field}.cwd`, defaultCwd);
  optional(process, 'terminal', field, boolean);
  optional(process, 'consoleSize', field, parseConsoleSize);
  optional(process, 'user', field, parseUser);
  optional(process, 'rlimits', field, each(parseRlimit));
  return process as OciProcess & { args: string[]; cwd: string };
}

function parseArgs(value: unknown, field: string): string[] {
  const args = each(text)(value ?? undefined, field);
  if (args.length === 0) throw invalid(field, 'must not be empty');
  if (args[0] === '') throw invalid(`${field}[0]`, 'must not be empty');
  return args;
}

/** environ(7): NAME=value. runc refuses the whole process over any other entry. The value may be a secret: not quoted. */
function parseVariable(value: unknown, field: string): string {
  const variable = text(value, field);
  const equals = variable.indexOf('=');
  if (equals < 0) throw invalid(field, "must be NAME=value, has no '='");
  if (equals === 0) throw invalid(field, 'must be NAME=value, has no name');
  return variable;
}

function parseCwd(value: unknown, field: string, defaultCwd: string): string {
  if (value === undefined || value === '') return defaultCwd;
  const cwd = text(value, field);
  if (!isAbsolute(cwd)) throw invalid(field, `must be an absolute path, is ${quote(cwd)}`);
  return cwd;
}

function parseConsoleSize(value: unknown, field: string): Fields {
  const size = canonical(value, field, ['height', 'width']);
  // Characters; a terminal's winsize holds 16 bits, see ioctl_tty(2).
  size.height = unsigned(size.height ?? 0, 0xffffn, `${field}.height`);
  size.width = unsigned(size.width ?? 0, 0xffffn, `${field}.width`);
  return size;
}

function parseUser(value: unknown, field: string): OciUser {
  const user = canonical(value, field, ['uid', 'gid', 'umask', 'additionalGids', 'username']);
  const id = (item: unknown, path: string) => unsigned(item, maxUint32, path);
  optional(user, 'uid', field, id);
  optional(user, 'gid', field, id);
  optional(user, 'umask', field, id);
  optional(user, 'additionalGids', field, each(id));
  optional(user, 'username', field, text);
  return user as OciUser;
}

function parseRlimit(value: unknown, field: string): OciRlimit {
  const limit = canonical(value, field, ['type', 'hard', 'soft']);
  limit.type = text(limit.type, `${field}.type`);
  limit.hard = unsigned(limit.hard ?? 0, maxUint64, `${field}.hard`);
  limit.soft = unsigned(limit.soft ?? 0, maxUint64, `${field}.soft`);
  return limit as unknown as OciRlimit;
}

function parseRoot(value: unknown, field: string): NonNullable<OciSpec['root']> {
  const root = canonical(value, field, ['path', 'readonly']);
  root.path = text(root.path, `${field}.path`);
  if (root.path === '') throw invalid(`${field}.path`, 'must not be empty');
  optional(root, 'readonly', field, boolean);
  return root as NonNullable<OciSpec['root']>;
}

function parseLinux(value: unknown, field: string): Fields {
  const linux = canonical(value, field, linuxFields);
  optional(linux, 'cgroupsPath', field, text);
  optional(linux, 'namespaces', field, each(parseNamespace));
  optional(linux, 'resources', field, parseResources);
  optional(linux, 'devices', field, each(parseDevice));
  return linux;
}

/** What limits mean is for the runtime to say; the list of device rules is added to here. */
function parseResources(value: unknown, field: string): Fields {
  const resources = canonical(value, field, resourceFields);
  optional(resources, 'devices', field, list);
  return resources;
}

function parseDevice(value: unknown, field: string): Fields {
  const device = canonical(value, field, [
    'path',
    'type',
    'major',
    'minor',
    'fileMode',
    'uid',
    'gid',
  ]);
  const path = text(device.path, `${field}.path`);
  if (!isAbsolute(path)) throw invalid(`${field}.path`, 'must be an absolute path');
  if (path.split('/').includes('..')) throw invalid(`${field}.path`, 'must not contain ".."');
  return device;
}

function parseNamespace(value: unknown, field: string): OciNamespace {
  const namespace = canonical(value, field, ['type', 'path']);
  namespace.type = text(namespace.type, `${field}.type`);
  optional(namespace, 'path', field, text);
  return namespace as unknown as OciNamespace;
}

function parseMount(value: unknown, field: string): OciMount {
  const mount = canonical(value, field, [
    'destination',
    'type',
    'source',
    'options',
    'uidMappings',
    'gidMappings',
  ]);
  mount.destination = text(mount.destination, `${field}.destination`);
  if (mount.destination === '') throw invalid(`${field}.destination`, 'must not be empty');
  optional(mount, 'type', field, text);
  optional(mount, 'source', field, text);
  optional(mount, 'options', field, each(text));
  return mount as unknown as OciMount;
}

function parseAnnotations(value: unknown, field: string): Record<string, string> {
  const entries = Object.entries(object(value, field));
  return Object.fromEntries(entries.map(([key, item]) => [key, text(item, `${field}.${key}`)]));
}

/** A text from the host in a message: as JSON, cut to what a reader needs. */
function quote(value: string): string {
  return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}…` : value);
}
