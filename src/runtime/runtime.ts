import type { Cgroup } from '../cgroup/hierarchy.ts';
import type { Fd } from '../os/fd.ts';
import type { KnownProcess } from '../os/known-process.ts';
import type { ExitStatus, ProcessEnd } from '../os/process.ts';
import type { OciLinuxResources, OciProcess } from '../spec/oci.ts';

declare const containerIdBrand: unique symbol;
/** A container id that passed `parseContainerId`: safe as one path component. */
export type ContainerId = string & { readonly [containerIdBrand]: true };

/** What a process gets as descriptors 0 to 2. The ends given here stay the caller's, who closes them once the call returned. */
export type ProcessStdio =
  | {
      readonly kind: 'descriptors';
      readonly stdin: Fd | null;
      readonly stdout: Fd | null;
      readonly stderr: Fd | null;
    }
  /** The runtime asks for a console; the process's `terminal` is the master. */
  | { readonly kind: 'terminal' };

export interface RuntimeProcess {
  /** Pid in the agent's pid namespace. */
  readonly pid: number;
  readonly startTime: number;
  /** Master of its pseudo-terminal; owned by this object's user, who takes or closes it. */
  readonly terminal: Fd | undefined;
  readonly exited: Promise<ExitStatus>;
  readonly status: ExitStatus | undefined;
  /** The status with its time when it has ended. */
  readonly ended: ProcessEnd | undefined;
  /** See Child: called with the end before it is collected. */
  beforeCollect: ((end: ProcessEnd) => void) | undefined;
  /** Through its pidfd; false when it has ended. */
  signal(signal: number): boolean;
}

export type RuntimeState = 'creating' | 'created' | 'running' | 'paused' | 'stopped';

/** One row of `list` / `state`, in the OCI runtime's words. */
export interface RuntimeContainerState {
  id: string;
  status: RuntimeState;
  /** 0 when it has none. */
  pid: number;
  bundle: string;
  /** RFC 3339. */
  created: string;
}

export interface RuntimeProcessInfo {
  pid: number;
  /** argv, empty for a zombie. */
  commandLine: string[];
  /** Started by this agent (init or exec), not by the container itself. */
  createdByRuntime: boolean;
  zombie: boolean;
}

export interface CreateOptions {
  id: ContainerId;
  /** Directory with config.json, for the logs of the runtime too. */
  bundle: string;
  /** Told to the runtime instead: another directory with the same config.json, that stays as it is. */
  namedBundle?: string | undefined;
  stdio: ProcessStdio;
  /** Runs `--no-new-keyring`, `--no-pivot` and the like when the runtime knows them. */
  noPivot?: boolean;
  /** Not made anew but from a checkpoint; it runs at once. */
  checkpoint?: CriuOptions;
  signal?: AbortSignal;
}

/** What CRIU may find in a container's processes, and is told to save or to take up again. */
export interface CriuOptions {
  /** Directory of its images. */
  directory: string;
  tcpEstablished?: boolean;
  externalUnixSockets?: boolean;
  shellJob?: boolean;
  fileLocks?: boolean;
  signal?: AbortSignal;
}

export interface CheckpointOptions extends CriuOptions {
  /** Its processes go on afterwards. */
  leaveRunning?: boolean;
}

export interface ExecOptions {
  process: OciProcess;
  stdio: ProcessStdio;
  signal?: AbortSignal;
}

/** A container made by this runtime. The caller serialises create, start, exec, update and delete; `kill` may come at any time. */
export interface RuntimeContainer {
  readonly id: ContainerId;
  readonly bundle: string;
  readonly init: RuntimeProcess;
  /** False when it shares another pid namespace: when init ends, the runtime kills what is left of it. */
  readonly ownsPidNamespace: boolean;
  /**
   * Its cgroup, located when it was created and there until it is deleted; without what it
   * shares with the agent. Undefined when it has none of its own that the agent can see.
   */
  readonly cgroup: Cgroup | undefined;
  /** Text of /proc/PID/cgroup of its init when it was created: what `cgroup` is located by. */
  readonly membership: string | undefined;
  /** After an abort, as after a failure, it may have been started all the same. */
  start(options?: { signal?: AbortSignal }): Promise<void>;
  exec(options: ExecOptions): Promise<RuntimeProcess>;
  /** `all`: every process of the container. RuntimeError 'not-running' when it has ended. */
  kill(signal: number, options?: { all?: boolean }): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** RuntimeError 'not-supported' where the machine cannot, see `Runtime.checkpointSupport`. */
  checkpoint(options: CheckpointOptions): Promise<void>;
  state(): Promise<RuntimeContainerState>;
  processes(): Promise<RuntimeProcessInfo[]>;
  update(resources: OciLinuxResources): Promise<void>;
  /** Removes the runtime's state and our bookkeeping, not the bundle. RuntimeError 'not-stopped' for a running one unless `force`. */
  delete(options?: { force?: boolean }): Promise<void>;
}

export interface Runtime {
  readonly name: string;
  /** Name or path it is run by, e.g. "runc". */
  readonly program: string;
  /** Who makes the cgroups of its containers. */
  readonly cgroupManager: 'cgroupfs' | 'systemd';
  /** Whether CRIU is there and the kernel has what it needs; looked at once. */
  checkpointSupport(): Promise<{ supported: true } | { supported: false; reason: string }>;
  version(): Promise<string>;
  /** Everything or nothing: a failed create leaves no container, directory, process or descriptor behind. */
  create(options: CreateOptions): Promise<RuntimeContainer>;
  list(): Promise<RuntimeContainerState[]>;
  /**
   * For an agent that takes the place of one that was killed, before it does anything else. Waits
   * for the commands of that one that are still under way and ends what they were to start, since
   * nobody was told of it.
   */
  takeOver(bundles: readonly string[]): Promise<RuntimeTakeover>;
}

/** What a container of ours is told by from another's of the same name. */
export interface MadeContainer {
  /** As the runtime was told. */
  readonly bundle: string;
  /** Milliseconds since the epoch: nothing of it was there before. Undefined where no other has its bundle. */
  readonly since: number | undefined;
}

export interface LoadOptions {
  readonly id: ContainerId;
  readonly bundle: string;
  readonly init: KnownProcess;
  readonly started: boolean;
  readonly ownsPidNamespace: boolean;
  readonly membership: string | undefined;
  /** Of other processes in the container that an agent had started nothing is left. */
  readonly execs: readonly KnownProcess[];
}

export interface LoadedContainer {
  readonly container: RuntimeContainer;
  /** In the order of `execs`. */
  readonly execs: readonly RuntimeProcess[];
}

/** What an agent before this one has left of its containers. */
export interface RuntimeTakeover {
  /** As the runtime lists it; undefined for a container it does not have. */
  state(id: ContainerId): RuntimeContainerState | undefined;
  /** Takes over a container that was created. Its processes need not live any more. */
  load(options: LoadOptions): Promise<LoadedContainer>;
  /** Removes what there is of a container, whatever its state: its create or its delete was cut off. Never one of another bundle, or one that was there before. */
  discard(id: ContainerId, made: MadeContainer): Promise<void>;
}

export type RuntimeErrorCode =
  | 'not-found'
  | 'already-exists'
  | 'invalid-id'
  | 'not-stopped'
  | 'still-running'
  | 'not-running'
  | 'already-running'
  /** The runtime program itself is missing or cannot be run. */
  | 'unavailable'
  | 'not-supported'
  | 'other';

/** An OCI runtime command failed. `message` is complete for a user; `runtimeMessage` is the runtime's own last error. */
export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly code: RuntimeErrorCode;
  readonly operation: string;
  readonly containerId: string | undefined;
  readonly exitStatus: ExitStatus | undefined;
  readonly runtimeMessage: string | undefined;

  constructor(
    code: RuntimeErrorCode,
    message: string,
    details: {
      operation: string;
      containerId?: string;
      exitStatus?: ExitStatus;
      runtimeMessage?: string;
      cause?: unknown;
    },
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.operation = details.operation;
    this.containerId = details.containerId;
    this.exitStatus = details.exitStatus;
    this.runtimeMessage = details.runtimeMessage;
  }
}
