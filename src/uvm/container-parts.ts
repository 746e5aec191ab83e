import type { Logger } from '../log/logger.ts';
import type { RuntimeContainer } from '../runtime/runtime.ts';
import type { OciProcess, OciSpec } from '../spec/oci.ts';
import type { ContainerRecord, Journal } from '../state/journal.ts';
import type { DoorExec, DoorFacts } from '../state/records.ts';
import type { ConnectionSet } from '../stdio/connection-set.ts';
import type { CriLog } from '../stdio/cri-log.ts';
import type { StdioKeeper } from '../stdio/keeper.ts';
import type { StdioSession } from '../stdio/stdio.ts';
import type { GuestProcess } from './guest-process.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { AttachHub } from './management/attach-hub.ts';
import type { OwnProcess } from './management/own-process.ts';
import type { ContainerExit } from './operations.ts';
import type { PodPlace } from './pod.ts';
import type { StartedStreams, StreamFactory } from './streams.ts';

/** What a created container consists of; the container owns all of it. */
export interface ContainerParts {
  spec: OciSpec;
  runtime: RuntimeContainer;
  /** Of the OCI runtime that keeps it. */
  runtimeName: string;
  /** The agent's ends of init's streams, until init is started. */
  initStreams: StartedStreams;
  /** In its pod; undefined for one of its own. */
  place: PodPlace | undefined;
  /** Removes the bundle, the scratch directory and all it had around it; never throws. */
  removeDirectories: () => Promise<void>;
  /** What the management door knows of it; undefined for one that the bridge has made. */
  door: DoorFacts | undefined;
  /** Of its init's output; closed by the container. */
  criLog: CriLog | undefined;
  record: ContainerRecord;
  /** Of init's streams. */
  keeper: StdioKeeper | undefined;
  /** Of a container that an agent before this one made. */
  restored?: RestoredContainer;
}

export interface RestoredContainer {
  readonly createdAt: number;
  readonly startedAt: number | undefined;
  readonly paused: boolean;
  /** Init's; undefined: it was never started, and `initStreams` are there. */
  readonly session: StdioSession | undefined;
  readonly endedBy: number | undefined;
  /** Those that were started through the bridge. */
  readonly execs: readonly GuestProcess[];
  /** For the management door: where clients of init attach, and its processes. */
  readonly hub: AttachHub | undefined;
  readonly ofDoor: readonly OwnProcess[];
}

export interface ContainerContext {
  streams: StreamFactory;
  logger: Logger;
  onExit: (exit: ContainerExit) => void;
  lifecycle: Lifecycle;
  journal: Journal;
  /** Aborted when the agent ends: what is being started is ended instead. */
  signal: AbortSignal;
}

/** An exec, ready for the runtime. */
export interface ExecPlan {
  /** See `prepareExec`. */
  process: OciProcess;
  /** What is not taken from them stays the caller's. */
  connections: ConnectionSet;
  /** Of the management door: by its name in events, and for an agent after this one. */
  door?: DoorExec;
  /** Of its streams, where the connections have one; default a new one. */
  number?: number;
  /** Instead of the context's. */
  signal?: AbortSignal;
  /** Throws when it may not be, in the container's queue and before anything is done. */
  check?: () => void;
  /** Called before anything else can be done to the container. */
  register: (process: GuestProcess) => void;
}
