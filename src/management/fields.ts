/** Types of single values and of the objects that more than one method of the contract uses. */
import {
  array,
  boolean,
  doc,
  i32,
  map,
  optional,
  rawObject,
  required,
  type Schema,
  SchemaError,
  string,
  u16,
  u32,
  u64,
} from '../schema/schema.ts';
import { number, oneOf, record, strict, text, whole } from '../schema/strict.ts';
import type { OciProcess, OciSpec } from '../spec/oci.ts';
import { ociProcess as decodedProcess, ociSpec as decodedSpec } from '../spec/oci-schema.ts';

/** A container's id: letters, digits, `_ + - .`. Its grammar is the runtime's, which judges it; here only its length. */
export const containerId = required(text({ name: 'id', maxBytes: 1024, pattern: /^[^\0/]+$/ }));

/** `init`, or the id an exec was given; `pid:N` names a process that was started through the bridge. */
export const processId = text({ name: 'process id', maxBytes: 128, pattern: /^[\w.:-]+$/ });

/** A path in the VM. */
export const absolutePath = text({ name: 'absolute path', maxBytes: 4095, pattern: /^\/[^\0]*$/ });

/** Names one stream connection that was, or is going to be, made; see stream.open. */
export const streamToken = text({ name: 'stream token', maxBytes: 32, pattern: /^[0-9a-f]{32}$/ });

/** "SIGTERM", "TERM" or 15. */
export const signal: Schema<string | number> = {
  shape: { kind: 'scalar', name: 'signal' },
  presence: 'always',
  zero: () => 'SIGTERM',
  decode: (value) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 64) {
      return value;
    }
    if (typeof value === 'string' && /^[A-Z0-9+-]{1,16}$/.test(value)) return value;
    throw new SchemaError('', 'expected the name or number of a signal');
  },
  encode: (value) => value,
};

export const unixMs = doc('milliseconds since 1970 UTC, with fractions', number);

/** Up to a day: a longer bound is no bound. */
export const timeoutMs = whole('milliseconds', 0, 86_400_000);

/** Bytes, as base64 (RFC 4648). */
export const bytes: Schema<Uint8Array> = {
  shape: { kind: 'scalar', name: 'base64' },
  presence: 'always',
  zero: () => new Uint8Array(),
  decode: (value) => Buffer.from(string.decode(value), 'base64'),
  encode: (value) => Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64'),
};

/** What an OCI runtime takes (config.md); fields the agent does not know go to it as they came. */
export const ociSpec: Schema<OciSpec> = decodedSpec;
export const ociProcess: Schema<OciProcess> = decodedProcess;

/** No parameters. */
export const nothing = strict({});
/** A result with nothing in it. */
export const empty = record({});
export const ofContainer = strict({ id: containerId });

/** A `$/progress` notification with this token is sent now and then while the request is under way. */
export const progressToken: Schema<string | number> = {
  shape: { kind: 'scalar', name: 'string or number' },
  presence: 'always',
  zero: () => 0,
  decode: (value) => {
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    if (typeof value === 'string' && value.length <= 128) return value;
    throw new SchemaError('', 'expected a whole number or a text of up to 128 characters');
  },
  encode: (value) => value,
};

const exitFields = {
  exitCode: doc(
    '128 + signal for one that was killed; 255, with a `reason`, when it cannot be known',
    u32,
  ),
  signal: optional(doc('the signal that ended it', u32)),
  finishedAt: unixMs,
  oomKilled: doc('it ended because the kernel killed for memory', boolean),
  reason: optional(doc('for people, where the code alone says too little', string)),
};
export const exitInfo = record(exitFields);

export const containerStatus = oneOf(
  'creating',
  'created',
  'running',
  'paused',
  'stopped',
  'destroyed',
);

export const containerStateFields = {
  id: string,
  status: containerStatus,
  pid: doc("of init, in the VM's pid namespace; 0 when it has ended", u32),
  startTime: doc('of init, in clock ticks since boot (proc_pid_stat(5))', u64),
  bundle: string,
  runtime: doc('name of the OCI runtime that keeps it', string),
  terminal: boolean,
  createdAt: unixMs,
  startedAt: optional(unixMs),
  exit: optional(doc('once init has ended', exitInfo)),
  annotations: map(string),
  logPath: optional(doc('file in the log format of the CRI', string)),
};
export const containerState = record(containerStateFields);

const streamReport = record({ bytes: u64, outcome: string });

export const processState = record({
  processId: string,
  status: oneOf('starting', 'running', 'stopped'),
  pid: u32,
  startTime: u64,
  terminal: boolean,
  startedAt: optional(unixMs),
  exit: optional(exitInfo),
  streams: doc(
    'what each has carried so far, and how it ended',
    record({
      stdin: optional(streamReport),
      stdout: optional(streamReport),
      stderr: optional(streamReport),
    }),
  ),
});

export const stdio = strict({
  stdin: optional(streamToken),
  stdout: optional(streamToken),
  stderr: optional(doc('not with a terminal, which has one output', streamToken)),
});

/** The process of a container that a request is about. */
export const processFields = {
  containerId,
  processId: doc('default `init`', optional(processId)),
};
export const ofProcess = strict(processFields);

const logPlan = strict({
  path: required(
    doc('absolute path in the VM; its directory is there, the file is not', absolutePath),
  ),
  maxBytes: optional(
    doc('rotated beyond this; absent: never', whole('bytes', 1, Number.MAX_SAFE_INTEGER)),
  ),
  maxFiles: optional(doc('kept with the current one; default 5', u16)),
});

export const createFields = {
  id: containerId,
  bundle: optional(
    doc(
      'directory for config.json: with `spec` it is made when missing, without one it holds a bundle; default: one of the agent’s own',
      absolutePath,
    ),
  ),
  spec: optional(doc('default: config.json of the bundle', ociSpec)),
  rootfs: optional(doc('instead of the root.path of the spec', absolutePath)),
  runtime: optional(doc('one of runtime.list; default: by trust', string)),
  trust: optional(doc('default `trusted`', oneOf('trusted', 'untrusted'))),
  privileged: optional(doc('runs under the trusted runtime whatever its trust', boolean)),
  terminal: optional(doc('replaces process.terminal of the spec', boolean)),
  openStdin: optional(
    doc(
      'stdin stays open until a start or an attach brings a writer; else it is at its end',
      boolean,
    ),
  ),
  log: optional(doc('writes a log in the format of the CRI', logPlan)),
  stopSignal: optional(doc('of container.stop; default SIGTERM', signal)),
  annotations: optional(map(string)),
  verbatim: optional(
    doc(
      'the runtime gets the spec with nothing added: no cgroup below /pods, no network files; it is told of the caller’s `bundle` where nothing here changes its spec, and nothing in that is written; for callers that are container engines',
      boolean,
    ),
  ),
  pivot: optional(
    doc(
      'the runtime pivots to the root, as it does without `--no-pivot`; not where the guest’s own root is its initial RAM file system, which nothing can pivot from',
      boolean,
    ),
  ),
};

/** How CRIU is to treat what it cannot always save. */
export const criuFields = {
  directory: required(doc("absolute directory for CRIU's images", absolutePath)),
  tcpEstablished: optional(boolean),
  externalUnixSockets: optional(boolean),
  shellJob: optional(boolean),
  fileLocks: optional(boolean),
};

export const anyObject = rawObject;
export {
  array,
  boolean,
  doc,
  i32,
  map,
  number,
  oneOf,
  optional,
  record,
  required,
  strict,
  string,
  u16,
  u32,
  u64,
  whole,
};
