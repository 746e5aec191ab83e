import type { InOf, OutOf, Schema } from '../schema/schema.ts';
import { operationLimits } from '../uvm/management/limits.ts';
import type { ManagementErrorCode } from './errors.ts';
import {
  absolutePath,
  anyObject,
  array,
  boolean,
  bytes,
  containerId,
  containerState,
  containerStateFields,
  containerStatus,
  createFields,
  criuFields,
  doc,
  empty,
  exitInfo,
  map,
  nothing,
  number,
  ociProcess,
  ociSpec,
  ofContainer,
  ofProcess,
  oneOf,
  optional,
  processFields,
  processId,
  processState,
  progressToken,
  record,
  required,
  signal,
  stdio,
  streamToken,
  strict,
  string,
  timeoutMs,
  u16,
  u32,
  u64,
  unixMs,
  whole,
} from './fields.ts';

/**
 * The contract of the management door: JSON-RPC 2.0 with the framing of the Language Server
 * Protocol (Content-Length). Validation, the client's types and MANAGEMENT.md follow from this file.
 *
 * A change that an older client or agent would not understand takes a new version; a new method, a
 * new optional parameter and a new field of a result do not.
 */
export const MANAGEMENT_VERSION = 1;

interface Definition {
  readonly params: Schema<unknown, never>;
  readonly result: Schema<unknown, never>;
  /** For people: what it does and what is particular about it. */
  readonly doc: string;
  /** Beyond those that every request may end with. */
  readonly errors: readonly ManagementErrorCode[];
}

const ofOne: readonly ManagementErrorCode[] = ['container-not-found', 'container-busy'];
const ofOneProcess: readonly ManagementErrorCode[] = [...ofOne, 'process-not-found'];
const ofStream: readonly ManagementErrorCode[] = ['stream-not-found', 'stream-broken'];

const counter = doc('since it was created', u64);
const runtimeStatus = record({
  ready: boolean,
  reason: optional(string),
  message: optional(string),
});

export const methods = {
  initialize: {
    doc: 'The first request of a connection, and once. The agent speaks the version the client asks for or fails with `not-supported`, naming its own.',
    params: strict({
      protocolVersion: required(u32),
      client: optional(strict({ name: string, version: optional(string) })),
    }),
    result: record({
      protocolVersion: u32,
      agent: record({ name: string, version: string, pid: u32 }),
      epoch: doc('of the numbers of events: another one after the agent was started anew', string),
      capabilities: record({
        methods: doc('that this agent has', array(string)),
        runtimes: array(string),
        checkpoint: doc('some runtime can, see runtime.list', boolean),
        logs: boolean,
        attach: boolean,
        copy: boolean,
        cgroupVersion: oneOf('v1', 'v2', 'hybrid', 'none'),
      }),
      limits: doc('see LIMITS.md', map(number)),
    }),
    errors: ['not-supported', 'invalid-request'],
  },
  'stream.open': {
    doc: 'Tokens for streams: connect to the port for streams, send the 32 digits and a line feed, and the connection is that stream from then on. A token serves once, for one request of this connection; whether the stream or the request comes first does not matter. Tokens nobody used in time are forgotten, and those of a connection that has ended.',
    params: strict({ count: doc('default 1', optional(whole('1 to 16', 1, 16))) }),
    result: record({ port: u32, tokens: array(streamToken), expiresMs: u32 }),
    errors: ['limit'],
  },

  'container.list': {
    doc: 'Containers of every origin, also those made through the bridge, in the order of their creation.',
    params: strict({
      status: optional(doc('only these', array(containerStatus))),
    }),
    result: record({ containers: array(containerState) }),
    errors: [],
  },
  'container.state': {
    doc: 'What is known of a container, without its spec.',
    params: ofContainer,
    result: containerState,
    errors: ofOne,
  },
  'container.inspect': {
    doc: 'All that is known of a container.',
    params: ofContainer,
    result: record({
      ...containerStateFields,
      spec: doc('as the runtime got it, after the agent’s edits', ociSpec),
      mounts: array(anyObject),
      cgroup: optional(
        record({
          controllers: doc('v1: directory by controller', map(string)),
          unified: optional(string),
        }),
      ),
      processes: array(processState),
    }),
    errors: ofOne,
  },
  'container.create': {
    doc: 'Makes a container whose init waits for container.start. Everything or nothing.',
    params: strict(createFields),
    result: containerState,
    errors: ['container-exists', 'invalid-container-id', 'not-supported', 'limit'],
  },
  'container.start': {
    doc: 'Starts init with its streams. What was not given a stream, a log, or `openStdin`, is /dev/null.',
    params: strict({
      id: containerId,
      stdio: optional(stdio),
      timeoutMs: optional(doc('beyond it what hangs is killed; default 60000', timeoutMs)),
    }),
    result: containerState,
    errors: [...ofOne, ...ofStream, 'container-not-created', 'start-timeout'],
  },
  'container.pause': {
    doc: 'Freezes every process of the container.',
    params: ofContainer,
    result: containerState,
    errors: [...ofOne, 'container-not-running'],
  },
  'container.resume': {
    doc: 'Thaws them.',
    params: ofContainer,
    result: containerState,
    errors: [...ofOne, 'container-not-paused'],
  },
  'container.signal': {
    doc: 'Sends a signal to init, or to every process of the container.',
    params: strict({
      id: containerId,
      signal: doc('default SIGTERM', optional(signal)),
      all: optional(doc('those included that fork meanwhile', boolean)),
    }),
    result: record({
      signalled: u32,
      failed: doc(
        'which the signal did not reach, and why',
        array(record({ pid: u32, message: string })),
      ),
    }),
    errors: [...ofOne, 'container-not-running'],
  },
  'container.stop': {
    doc: 'The stop signal, then, when the time is up, SIGKILL to all; succeeds for one that has stopped. A cancelled stop takes nothing back.',
    params: strict({
      id: containerId,
      timeoutMs: optional(
        doc('for the stop signal to work; 0: SIGKILL at once; default 10000', timeoutMs),
      ),
    }),
    result: containerState,
    errors: [...ofOne, 'cancelled'],
  },
  'container.wait': {
    doc: 'Held open until init has ended and its output is delivered. Any number may wait, also late, until the delete.',
    params: strict({ id: containerId, timeoutMs: optional(timeoutMs) }),
    result: exitInfo,
    errors: [...ofOne, 'timeout', 'cancelled'],
  },
  'container.delete': {
    doc: 'Removes a container that is not running; with `force` one that is, too.',
    params: strict({ id: containerId, force: optional(boolean) }),
    result: empty,
    errors: [...ofOne, 'container-not-stopped'],
  },
  'container.update': {
    doc: 'Changes limits of a running container: `linux.resources` of the runtime specification, only what is named.',
    params: strict({ id: containerId, resources: required(anyObject) }),
    result: empty,
    errors: [...ofOne, 'container-not-running'],
  },
  'container.processes': {
    doc: 'Every process inside, as the kernel lists them.',
    params: ofContainer,
    result: record({
      processes: array(
        record({
          pid: u32,
          commandLine: doc('empty for a zombie', array(string)),
          zombie: boolean,
          processId: optional(doc('when it is init or was exec’d', string)),
        }),
      ),
    }),
    errors: [...ofOne, 'container-not-running'],
  },
  'container.stats': {
    doc: 'Figures of the named containers, or of all that run; one that has ended meanwhile is left out of those of all.',
    params: strict({ ids: optional(array(containerId)) }),
    result: record({
      stats: array(
        record({
          id: string,
          at: unixMs,
          metrics: doc(
            'in the terms of cgroup v1, whatever the machine has: containerd’s io.containerd.cgroups.v1.Metrics, snake case, zero figures left out',
            anyObject,
          ),
          network: doc(
            'interfaces of its network namespace but lo',
            array(
              record({
                name: string,
                rxBytes: u64,
                rxPackets: u64,
                rxErrors: u64,
                rxDropped: u64,
                txBytes: u64,
                txPackets: u64,
                txErrors: u64,
                txDropped: u64,
              }),
            ),
          ),
          oomKills: counter,
          memoryEvents: optional(record({ low: u64, high: u64, max: u64, oom: u64, oomKill: u64 })),
        }),
      ),
    }),
    errors: ofOne,
  },
  'container.checkpoint': {
    doc: 'Saves a running container with CRIU and ends it, unless `leaveRunning`.',
    params: strict({ id: containerId, ...criuFields, leaveRunning: optional(boolean) }),
    result: empty,
    errors: [...ofOne, 'not-supported', 'container-not-running', 'cancelled'],
  },
  'container.restore': {
    doc: 'Makes and starts a container from a checkpoint.',
    params: strict({ ...createFields, ...criuFields, stdio: optional(stdio) }),
    result: containerState,
    errors: ['not-supported', 'container-exists', 'invalid-container-id', ...ofStream, 'cancelled'],
  },
  'container.copyIn': {
    doc: 'Unpacks a tar archive, which the client sends over the stream, into a directory of the container: files replace files, directories are added to. Every name is found below the container’s root, whatever links there are. Devices, fifos and extended attributes are not taken.',
    params: strict({
      id: containerId,
      path: required(doc('directory in the container, as its processes see it', absolutePath)),
      stream: required(streamToken),
      progressToken: optional(progressToken),
    }),
    result: record({ entries: u32, bytes: u64 }),
    errors: [...ofOne, ...ofStream, 'path-not-found', 'cancelled'],
  },
  'container.copyOut': {
    doc: 'A file or directory of the container as a tar archive over the stream. Its names begin with the last component of `path`.',
    params: strict({
      id: containerId,
      path: required(absolutePath),
      stream: required(streamToken),
      progressToken: optional(progressToken),
    }),
    result: record({ entries: u32, bytes: u64 }),
    errors: [...ofOne, ...ofStream, 'path-not-found', 'cancelled'],
  },

  'process.exec': {
    doc: 'Starts another process in a running container, with its streams. An error has the runtime’s own words.',
    params: strict({
      containerId,
      processId: optional(
        doc('the caller’s name for it, not `init`; default: one that is free', processId),
      ),
      process: doc(
        'fields that are missing are those of the container’s process',
        required(ociProcess),
      ),
      stdio: optional(stdio),
      timeoutMs: optional(
        doc('for the start; beyond it what hangs is killed; default 60000', timeoutMs),
      ),
    }),
    result: processState,
    errors: [
      ...ofOne,
      ...ofStream,
      'process-exists',
      'container-not-running',
      'container-paused',
      'start-timeout',
      'limit',
      'cancelled',
    ],
  },
  'process.execSync': {
    doc: 'Runs a command to its end and answers with its output. When the time is up the whole process group is killed and `timedOut` is said; the output until then is there.',
    params: strict({
      containerId,
      args: required(array(string)),
      env: optional(doc('NAME=VALUE; default: that of the container’s process', array(string))),
      cwd: optional(string),
      user: optional(doc('name or uid, and `:group`', string)),
      terminal: optional(boolean),
      timeoutMs: optional(doc('0 or absent: none', timeoutMs)),
      maxBytes: optional(
        doc(
          'of stdout and stderr each; default and most 16 MiB',
          whole('bytes', 0, operationLimits.execSyncBytes),
        ),
      ),
    }),
    result: record({
      exitCode: u32,
      stdout: bytes,
      stderr: bytes,
      stdoutTruncated: boolean,
      stderrTruncated: boolean,
      timedOut: boolean,
      outputHeld: doc(
        'something left behind still holds the output: more may be written that nobody reads',
        boolean,
      ),
      durationMs: number,
    }),
    errors: [...ofOne, 'container-not-running', 'container-paused', 'start-timeout', 'cancelled'],
  },
  'process.attach': {
    doc: 'Joins streams to a process that runs: output from now on, to any number of clients; input from one at a time.',
    params: strict({ ...processFields, stdio: required(stdio) }),
    result: processState,
    errors: [...ofOneProcess, ...ofStream, 'not-supported', 'container-not-running'],
  },
  'process.list': {
    doc: 'init and every process that was exec’d and is remembered, in the order of their starts.',
    params: strict({ containerId }),
    result: record({ processes: array(processState) }),
    errors: ofOne,
  },
  'process.state': {
    doc: 'What is known of a process.',
    params: ofProcess,
    result: processState,
    errors: ofOneProcess,
  },
  'process.spec': {
    doc: 'The process as the runtime got it.',
    params: ofProcess,
    result: record({ process: ociProcess }),
    errors: [...ofOneProcess, 'not-supported'],
  },
  'process.status': {
    doc: 'How a process ended, at once.',
    params: ofProcess,
    result: exitInfo,
    errors: [...ofOneProcess, 'process-not-exited'],
  },
  'process.wait': {
    doc: 'Held open until the process has ended and its output is delivered.',
    params: strict({ ...processFields, timeoutMs: optional(timeoutMs) }),
    result: exitInfo,
    errors: [...ofOneProcess, 'timeout', 'cancelled'],
  },
  'process.signal': {
    doc: 'Sends a signal to one process.',
    params: strict({ ...processFields, signal: doc('default SIGTERM', optional(signal)) }),
    result: empty,
    errors: [...ofOneProcess, 'container-not-running'],
  },
  'process.resize': {
    doc: 'Sets the window size of its terminal.',
    params: strict({ ...processFields, width: required(u16), height: required(u16) }),
    result: empty,
    errors: [...ofOneProcess, 'not-a-terminal'],
  },
  'process.closeStdin': {
    doc: 'Its reader sees the end after what was written. Has no effect a second time.',
    params: ofProcess,
    result: empty,
    errors: ofOneProcess,
  },
  'process.delete': {
    doc: 'Forgets an exec’d process that has ended.',
    params: ofProcess,
    result: empty,
    errors: [...ofOneProcess, 'process-not-exited'],
  },

  'logs.read': {
    doc: 'Sends the log of init over the stream: lines as the file has them (`TIME STREAM TAG CONTENT`), rotated files first. Answers when all is sent; with `follow` when the container has ended and its log is complete, or the request is cancelled. A client that closes the stream ends it too.',
    params: strict({
      containerId,
      stream: required(streamToken),
      follow: optional(boolean),
      offset: optional(
        doc(
          'bytes to leave out at the beginning of the current file, which alone is read then',
          u64,
        ),
      ),
      tail: optional(doc('only the last so many lines', u32)),
      since: optional(doc('only lines of this time and later', unixMs)),
    }),
    result: record({
      bytes: u64,
      nextOffset: doc('of the current file, to go on from', u64),
    }),
    errors: [...ofOne, ...ofStream, 'not-supported', 'path-not-found', 'cancelled'],
  },
  'logs.reopen': {
    doc: 'Closes the log file of init and opens its path again, for one who has moved it away.',
    params: strict({ containerId }),
    result: empty,
    errors: [...ofOne, 'not-supported'],
  },

  'runtime.version': {
    doc: 'Version of an OCI runtime as it says itself.',
    params: strict({ name: optional(doc('default: the one of trusted containers', string)) }),
    result: record({ name: string, version: string }),
    errors: ['not-supported', 'failed'],
  },
  'runtime.list': {
    doc: 'The OCI runtimes of the agent.',
    params: nothing,
    result: record({
      runtimes: array(
        record({
          name: string,
          program: string,
          version: optional(string),
          error: optional(doc('why it cannot be run', string)),
          cgroupManager: oneOf('cgroupfs', 'systemd'),
          default: optional(
            doc('for which containers that name none', oneOf('trusted', 'untrusted')),
          ),
          checkpoint: record({ supported: boolean, reason: optional(string) }),
        }),
      ),
    }),
    errors: [],
  },
  'runtime.status': {
    doc: 'The conditions of the CRI.',
    params: nothing,
    result: record({ runtimeReady: runtimeStatus, networkReady: runtimeStatus }),
    errors: [],
  },

  'events.subscribe': {
    doc: 'From now on, or from a number on, every event is sent as a notification `event`, in order and once. A connection has one subscription; another request begins it anew. A client that reads too slowly for what the agent keeps is told so by `events.gap`, and goes on behind it.',
    params: strict({
      from: optional(doc('the first event wanted: one more than the last that was seen', u64)),
      epoch: optional(doc('what `from` belongs to', string)),
    }),
    result: record({
      epoch: string,
      next: doc('number of the first event that will be sent', u64),
      gap: optional(
        doc(
          'events asked for that are lost',
          record({ from: u64, to: u64, reason: oneOf('dropped', 'other-epoch') }),
        ),
      ),
    }),
    errors: [],
  },
  'events.unsubscribe': { doc: 'Ends it.', params: nothing, result: empty, errors: [] },

  'system.info': {
    doc: 'The agent and the machine it is on.',
    params: nothing,
    result: record({
      agent: record({
        version: string,
        pid: u32,
        startedAt: unixMs,
        transport: string,
        node: string,
        residentBytes: u64,
      }),
      machine: record({
        hostname: string,
        kernel: string,
        architecture: string,
        cpus: u32,
        memoryBytes: u64,
        memoryAvailableBytes: u64,
        uptimeSeconds: number,
        ownMachine: doc('PID 1 is our init', boolean),
      }),
      containers: record({ total: u32, running: u32, paused: u32, stopped: u32 }),
      clients: u32,
    }),
    errors: [],
  },
  'system.health': {
    doc: 'Whether the agent can do its work. Each check says why where it failed.',
    params: nothing,
    result: record({
      healthy: boolean,
      checks: array(record({ name: string, healthy: boolean, message: optional(string) })),
      eventLoopUtilization: doc(
        'share of the time in which the event loop was busy since this was last asked, 0 to 1',
        number,
      ),
    }),
    errors: [],
  },
  'system.metrics': {
    doc: 'Figures of the agent and its containers in the text format of Prometheus (0.0.4).',
    params: nothing,
    result: record({ contentType: string, text: string }),
    errors: [],
  },
  'system.logLevel': {
    doc: 'The level of the log; sets it first when one is given.',
    params: strict({ level: optional(oneOf('trace', 'debug', 'info', 'warning', 'error')) }),
    result: record({ level: oneOf('trace', 'debug', 'info', 'warning', 'error') }),
    errors: [],
  },
  'system.stacks': {
    doc: 'State of the agent as text, for people: containers, processes, streams, what is under way.',
    params: nothing,
    result: record({ text: string }),
    errors: [],
  },
  'system.heapSnapshot': {
    doc: 'The JavaScript heap in V8’s format over the stream. The agent does nothing else meanwhile.',
    params: strict({ stream: required(streamToken), progressToken: optional(progressToken) }),
    result: record({ bytes: u64 }),
    errors: [...ofStream, 'limit'],
  },
  'system.cpuProfile': {
    doc: 'Samples the agent for some seconds and sends the profile in V8’s format (.cpuprofile) over the stream.',
    params: strict({
      stream: required(streamToken),
      seconds: required(whole('1 to 300', 1, 300)),
      progressToken: optional(progressToken),
    }),
    result: record({ bytes: u64 }),
    errors: [...ofStream, 'limit', 'cancelled'],
  },
} as const satisfies Readonly<Record<string, Definition>>;

/** What the agent sends without being asked. */
export const notifications = {
  event: {
    doc: 'Something happened to a container.',
    params: record({
      epoch: string,
      sequence: doc('from 1, without a hole', u64),
      kind: oneOf('create', 'start', 'exec', 'exit', 'oom', 'pause', 'resume', 'delete'),
      at: unixMs,
      containerId: string,
      processId: optional(doc('of exec and exit', string)),
      pid: optional(u32),
      exitCode: optional(doc('of exit', u32)),
      oomKilled: optional(boolean),
      kills: optional(doc('of oom: processes the kernel has killed so far', u32)),
    }),
  },
  'events.gap': {
    doc: 'These events are lost to this client: it read too slowly.',
    params: record({ epoch: string, from: u64, to: u64 }),
  },
} as const satisfies Readonly<
  Record<string, { readonly doc: string; readonly params: Schema<unknown, never> }>
>;

/** Value of `$/progress`. */
export const progress = record({
  bytes: optional(u64),
  entries: optional(u32),
  /** Of the request's own time, 0 to 1, where that is known. */
  done: optional(number),
});

type Methods = typeof methods;
export type MethodName = keyof Methods;
/** Parameters as a handler sees them: decoded and checked. */
export type Params<M extends MethodName> = OutOf<Methods[M]['params']>;
/** Parameters as a client writes them. */
export type ParamsInput<M extends MethodName> = InOf<Methods[M]['params']>;
/** A result as a client sees it. */
export type Result<M extends MethodName> = OutOf<Methods[M]['result']>;
/** A result as a handler gives it. */
export type ResultInput<M extends MethodName> = InOf<Methods[M]['result']>;

export type NotificationName = keyof typeof notifications;
export type NotificationParams<N extends NotificationName> = OutOf<
  (typeof notifications)[N]['params']
>;
export type Progress = OutOf<typeof progress>;

export function isMethod(name: string): name is MethodName {
  return Object.hasOwn(methods, name);
}
