import type { WindowSize } from '../os/pty.ts';
import type { OciLinuxResources } from '../spec/oci.ts';
import type {
  CheckpointRequest,
  ContainerInspection,
  ContainerState,
  ContainerStats,
  CreateRequest,
  EventPosition,
  EventSubscription,
  ExecRequest,
  ExecSyncRequest,
  ExecSyncResult,
  ExitInfo,
  LifecycleEvent,
  MetricFamily,
  ProcessRow,
  ProcessState,
  ReadyCondition,
  RestoreRequest,
  RuntimeInfo,
  SignalOptions,
  SignalResult,
  StartOptions,
  StopOptions,
  StreamConnections,
} from './management-types.ts';

export type * from './management-types.ts';

/**
 * What the management door can ask of the VM. Every rejection is an AgentError. Containers that were
 * made through the bridge are seen and changed in the same way. `signal` of an operation abandons it:
 * 'cancelled', and what it had made is undone; what it waited for goes on.
 */
export interface ManagementOperations {
  // Containers. 'container-not-found' for an id there is not.

  list(): Promise<ContainerState[]>;
  state(id: string): Promise<ContainerState>;
  inspect(id: string): Promise<ContainerInspection>;
  /** 'invalid-container-id', 'container-exists', 'invalid-argument' naming the field, 'not-supported' for a cgroup manager that is not there. */
  create(request: CreateRequest, options?: { signal?: AbortSignal }): Promise<ContainerState>;
  /** 'container-not-created', with the state it is in, unless it is created and was never started. */
  start(id: string, options?: StartOptions): Promise<ContainerState>;
  /** 'container-not-running' unless it runs; also one that is paused. */
  pause(id: string): Promise<ContainerState>;
  /** 'container-not-paused'. */
  resume(id: string): Promise<ContainerState>;
  /** 'container-not-running', 'process-not-found', 'invalid-argument' for no signal. */
  signal(id: string, options?: SignalOptions): Promise<SignalResult>;
  /** Stop signal, wait, SIGKILL to all, wait. Stopped already: resolves. Calls at one time are one stop, with the shortest of their timeouts. 'failed' when it outlives SIGKILL for 2 min. */
  stop(id: string, options?: StopOptions): Promise<ContainerState>;
  /** Resolves when init has ended and its output is delivered; at once when that was before. 'container-not-found' after the delete. */
  wait(id: string, options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<ExitInfo>;
  /** 'container-not-stopped' for one that runs, unless `force`. */
  delete(id: string, options?: { force?: boolean }): Promise<void>;
  update(id: string, resources: OciLinuxResources): Promise<void>;
  processes(id: string): Promise<ProcessRow[]>;
  stats(id: string): Promise<ContainerStats>;
  /** Closes the log file of init and opens its path again. 'not-supported' without a log. */
  reopenLog(id: string): Promise<void>;
  /** 'not-supported' with the reason where CRIU cannot. Ended afterwards unless `leaveRunning`. */
  checkpoint(
    id: string,
    request: CheckpointRequest,
    options?: { signal?: AbortSignal },
  ): Promise<void>;
  restore(request: RestoreRequest, options?: { signal?: AbortSignal }): Promise<ContainerState>;

  // Processes of a container: `init`, or one exec'd. 'process-not-found'.

  /** 'process-exists' for an id in use, 'start-timeout', 'container-not-running', 'container-paused'. */
  exec(id: string, request: ExecRequest, options?: { signal?: AbortSignal }): Promise<ProcessState>;
  execSync(
    id: string,
    request: ExecSyncRequest,
    options?: { signal?: AbortSignal },
  ): Promise<ExecSyncResult>;
  listProcesses(id: string): Promise<ProcessState[]>;
  processState(id: string, processId: string): Promise<ProcessState>;
  /** 'process-not-exited' before its end. */
  exitStatus(id: string, processId: string): Promise<ExitInfo>;
  /** Resolves when it has ended and its output is delivered. */
  waitProcess(
    id: string,
    processId: string,
    options?: { timeoutMs?: number; signal?: AbortSignal },
  ): Promise<ExitInfo>;
  /** 'not-a-terminal'. */
  resize(id: string, processId: string, size: WindowSize): Promise<void>;
  /** Its reader sees the end after what was written. No effect a second time. */
  closeStdin(id: string, processId: string): Promise<void>;
  /**
   * Joins connections to a process that was started without them, any number of clients: each gets
   * the output from now on, what any of them sends is stdin (where it was left open). Resolves when
   * they are joined; the connections end with the process.  'not-supported' for a process
   * whose streams were connected at its start.
   */
  attach(id: string, processId: string, streams: StreamConnections): Promise<void>;
  /** Forgets an exec'd process that has ended. 'process-not-exited'. */
  deleteProcess(id: string, processId: string): Promise<void>;

  // The VM.

  runtimes(): Promise<RuntimeInfo[]>;
  conditions(): Promise<ReadyCondition[]>;
  /** Events from a position on: those kept, before this returns, then live, each once and in order. Without a position: from now on. */
  subscribe(
    position: EventPosition | undefined,
    receiver: (event: LifecycleEvent) => void,
  ): EventSubscription;
  metrics(): Promise<MetricFamily[]>;
}
