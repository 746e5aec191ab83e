import type { Metrics } from '../cgroup/metrics.ts';
import type { OciMount, OciProcess, OciSpec } from '../spec/oci.ts';
import type { StreamReport } from '../stdio/stdio.ts';
import type { Connection } from '../vsock/transport.ts';

/** Milliseconds since 1970 UTC, with fractions. */
export type UnixMs = number;

/** `destroyed`: deleted; only in answers to who waited meanwhile. */
export type ContainerStatus =
  | 'creating'
  | 'created'
  | 'running'
  | 'paused'
  | 'stopped'
  | 'destroyed';
export type ProcessStatus = 'starting' | 'running' | 'stopped';

/** How init, or a process, ended. */
export interface ExitInfo {
  /** Exit code, or 128 + signal; 255 with a `reason` where it cannot be known. */
  exitCode: number;
  /** The signal that ended it. */
  signal?: number;
  finishedAt: UnixMs;
  /** The kernel killed a process of the container for memory, and that was the end of this one. */
  oomKilled: boolean;
  /** Words for people, where the code alone says too little. */
  reason?: string;
}

export interface ContainerState {
  id: string;
  status: ContainerStatus;
  /** In the VM's pid namespace; 0 when init has ended. */
  pid: number;
  /** Of init, in clock ticks since boot (proc_pid_stat(5), field 22): with the pid it names one process for good. */
  startTime: number;
  bundle: string;
  /** Name of the OCI runtime that keeps it. */
  runtime: string;
  terminal: boolean;
  createdAt: UnixMs;
  startedAt?: UnixMs;
  /** Once init has ended. */
  exit?: ExitInfo;
  annotations: Record<string, string>;
  /** CRI log of init's output. */
  logPath?: string;
}

/** Directories of a container's cgroup. */
export interface CgroupInfo {
  /** v1: directory by controller. */
  controllers: Record<string, string>;
  /** v2. */
  unified?: string;
}

export interface ContainerInspection extends ContainerState {
  /** As the runtime got it, after the agent's edits. */
  spec: OciSpec;
  mounts: OciMount[];
  cgroup?: CgroupInfo;
  processes: ProcessState[];
}

/**
 * Connections that are there already, one a stream; a missing one is not wanted. They belong to the
 * operation from the call on, whatever becomes of it: on a failure they are closed.
 */
export interface StreamConnections {
  stdin?: Connection;
  stdout?: Connection;
  /** Not with a terminal, which has one output. */
  stderr?: Connection;
}

/** A file in the log format of the CRI: `TIME STREAM TAG CONTENT`. */
export interface LogPlan {
  /** Absolute path in the VM; the file must not be there, its directory must. */
  path: string;
  /** Rotated beyond this; undefined: never. */
  maxBytes?: number;
  /** Kept with the current one; default 5. */
  maxFiles?: number;
}

export type TrustLevel = 'trusted' | 'untrusted';

export interface CreateRequest {
  id: string;
  /** Directory for config.json. With `spec` it is made when missing; without one it holds a bundle already. Default: one of the agent's own below /run/gcs/b. */
  bundle?: string;
  /** Default: config.json of the bundle. */
  spec?: OciSpec;
  /** Instead of spec.root.path: an absolute directory in the VM. */
  rootfs?: string;
  /** Name of an OCI runtime; default: by trust. */
  runtime?: string;
  /** Default `trusted`. */
  trust?: TrustLevel;
  /** A container with the rights of the VM runs under the trusted runtime whatever its trust. Default false. */
  privileged?: boolean;
  /** Replaces spec.process.terminal. */
  terminal?: boolean;
  /** Leave init's stdin open, without a writer, until a start or an attach gives one; else it reads its end at once. Default false. */
  openStdin?: boolean;
  log?: LogPlan;
  /** Of a stop, name or number; default SIGTERM. */
  stopSignal?: string | number;
  annotations?: Record<string, string>;
  /** The runtime gets the spec with nothing added: no cgroup below /pods, no network files. For callers that are container engines. Default false. */
  verbatim?: boolean;
  /** The runtime pivots to the root where it can, and does not move there. Default false. */
  pivot?: boolean;
}

export interface StartOptions {
  streams?: StreamConnections;
  /** Beyond it what hangs is killed and the start has failed with 'start-timeout'. Default 60 000. */
  timeoutMs?: number;
}

export interface ExecRequest {
  /** The caller's name for it, unique in its container: 1 to 128 of letters, digits, `_ . -`, not `init`. */
  processId: string;
  process: OciProcess;
  streams?: StreamConnections;
  /** See {@link StartOptions.timeoutMs}. */
  timeoutMs?: number;
}

export interface ProcessState {
  /** `init`, the caller's own, or `pid:N` of a process that was started through the bridge. */
  processId: string;
  status: ProcessStatus;
  /** In the VM's pid namespace. */
  pid: number;
  /** Clock ticks since boot. */
  startTime: number;
  terminal: boolean;
  /** As the runtime got it. */
  spec?: OciProcess;
  startedAt?: UnixMs;
  exit?: ExitInfo;
  /** What its streams have carried so far. */
  streams: { stdin?: StreamReport; stdout?: StreamReport; stderr?: StreamReport };
}

/** One process of a container as the kernel lists it. */
export interface ProcessRow {
  pid: number;
  /** argv; empty for a zombie. */
  commandLine: string[];
  zombie: boolean;
  /** When it is init or was exec'd. */
  processId?: string;
}

export interface ExecSyncRequest {
  args: string[];
  /** Default: that of the container's process. */
  env?: string[];
  cwd?: string;
  /** Name or uid, `:` and group; default: the container's. */
  user?: string;
  /** stdout and stderr are then one. */
  terminal?: boolean;
  /** Counted from the call. 0 or undefined: none. */
  timeoutMs?: number;
  /** Of stdout and stderr each; default and most 16 MiB. */
  maxBytes?: number;
}

export interface ExecSyncResult {
  stdout: Uint8Array;
  stderr: Uint8Array;
  /** Bytes beyond `maxBytes` were dropped. The process was not held up by it. */
  stdoutTruncated: boolean;
  stderrTruncated: boolean;
  /** 128 + signal for one that was killed; 137 after a timeout. */
  exitCode: number;
  /** It had not ended in time: its process group was killed. */
  timedOut: boolean;
  /** Something it left behind still held its output when the drain's bound was reached: more may be written that nobody reads. */
  outputHeld: boolean;
  durationMs: number;
}

export interface StopOptions {
  /** For the stop signal to work; 0: SIGKILL at once. Default 10 000. */
  timeoutMs?: number;
  /** Abandons the wait; what was sent was sent. */
  signal?: AbortSignal;
}

export interface SignalOptions {
  /** Name or number; default SIGTERM. */
  signal?: string | number;
  /** Every process of the container, those included that fork meanwhile. */
  all?: boolean;
  /** Default `init`; not with `all`. */
  processId?: string;
}

/** What went wrong with single processes of a signal to all; the others have got it. */
export interface SignalResult {
  signalled: number;
  failed: { pid: number; message: string }[];
}

export interface NetworkCounters {
  name: string;
  rxBytes: bigint;
  rxPackets: bigint;
  rxErrors: bigint;
  rxDropped: bigint;
  txBytes: bigint;
  txPackets: bigint;
  txErrors: bigint;
  txDropped: bigint;
}

export interface ContainerStats {
  id: string;
  at: UnixMs;
  /** In cgroup v1 terms, whatever the machine has. */
  metrics: Metrics;
  /** Interfaces of init's network namespace but lo; none when init has ended. */
  network: NetworkCounters[];
  /** Since it was created. */
  oomKills: number;
  memoryEvents?: { low: number; high: number; max: number; oom: number; oomKill: number };
}

export interface CheckpointRequest {
  /** Absolute directory for CRIU's images; made when missing. */
  directory: string;
  leaveRunning?: boolean;
  tcpEstablished?: boolean;
  externalUnixSockets?: boolean;
  shellJob?: boolean;
  fileLocks?: boolean;
}

export interface RestoreRequest extends CreateRequest {
  /** Of a checkpoint. */
  directory: string;
  streams?: StreamConnections;
  tcpEstablished?: boolean;
  externalUnixSockets?: boolean;
  shellJob?: boolean;
  fileLocks?: boolean;
}

export interface RuntimeInfo {
  name: string;
  /** Program as it was configured. */
  program: string;
  /** Undefined when the program cannot be run; `error` says why. */
  version?: string;
  error?: string;
  cgroupManager: 'cgroupfs' | 'systemd';
  /** Which containers it is for when they name no runtime. */
  default?: TrustLevel;
  checkpoint: { supported: boolean; reason?: string };
}

export interface ReadyCondition {
  type: 'RuntimeReady' | 'NetworkReady';
  status: boolean;
  /** One word, as the CRI has it: RuntimeNotFound, CgroupsNotWritable, LoopbackDown. */
  reason?: string;
  message?: string;
}

export type LifecycleEventKind =
  | 'create'
  | 'start'
  | 'exec'
  | 'exit'
  | 'oom'
  | 'pause'
  | 'resume'
  | 'delete';

export interface LifecycleEvent {
  /** From 1, without a hole. */
  sequence: number;
  kind: LifecycleEventKind;
  at: UnixMs;
  containerId: string;
  /** exec and exit: `init`, the caller's own id, or `pid:N`. */
  processId?: string;
  pid?: number;
  /** exit. */
  exitCode?: number;
  oomKilled?: boolean;
  /** oom: processes the kernel has killed so far. */
  kills?: number;
}

/** Where a client has got to. */
export interface EventPosition {
  /** Of the agent's life the number belongs to. */
  epoch: string;
  /** First event wanted. */
  sequence: number;
}

export interface EventSubscription extends Disposable {
  readonly epoch: string;
  /** Of the first event that is delivered. */
  readonly next: number;
  /** Events asked for that are no longer kept, or `other-epoch` when the numbers are another agent's. */
  readonly gap: { from: number; to: number } | 'other-epoch' | undefined;
}

export interface MetricSample {
  labels?: Record<string, string>;
  value: number;
}
export type MetricFamily = { name: string; help: string } & (
  | { type: 'counter' | 'gauge'; samples: MetricSample[] }
  | {
      type: 'histogram';
      /** Cumulative, upper bounds in seconds ascending; the last one is +Infinity. */
      buckets: { le: number; count: number }[];
      sum: number;
      count: number;
    }
);
