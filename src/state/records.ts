import type { ExitStatus, ProcessEnd } from '../os/process.ts';
import type { OciProcess } from '../spec/oci.ts';

/** Of all files; one of another version is left alone. */
export const stateVersion = 1;

/** One process, told from every other that has or had its pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of proc_pid_stat(5). */
  readonly startTime: number;
}

/** How a process ended. */
export interface RecordedEnd {
  readonly status: ExitStatus;
  /** Nanoseconds since the epoch, as text: beyond what a JSON number holds exactly. */
  readonly at: string;
  /** Why the status is not the process's own: exit code 255 stands for what nobody knows. */
  readonly reason?: string;
}

/** What a container has around it that goes when it goes, or when its create is undone. */
export interface SurroundingsRecord {
  /** The pod it opened or joined. */
  pod?: { readonly id: string; readonly sandbox?: { directory: string; hostNetwork: boolean } };
  /** A sandbox's cgroup, a path in every hierarchy. */
  cgroup?: string;
  /** A sandbox's directory: what is made in it, the deepest directory last. */
  podDirectory?: { directories: readonly string[]; files: readonly string[] };
  /** A log directory that is the container's alone. */
  logDirectory?: string;
  /** Directory of the documents it is offered. */
  securityContext?: string;
  /** Where mounts are pinned while it is created. */
  pins?: readonly string[];
}

/** What only the management door knows of a container, from its create on. */
export interface DoorFacts {
  /** The bundle its maker named, where the agent has one of its own. */
  readonly origin?: string | undefined;
  /** init's stdin is left open for who attaches. */
  readonly openStdin: boolean;
  /** Of init's output, in the CRI's format. */
  readonly log?: {
    readonly path: string;
    readonly maxBytes?: number;
    readonly maxFiles?: number;
    /** There was no such file before: it goes with a create that is undone. */
    readonly made?: boolean;
  };
}

/** An exec of the management door. */
export interface DoorExec {
  readonly processId: string;
  /** As the runtime got it. */
  readonly process: OciProcess;
  /** Clients may attach: it was started without streams. */
  readonly hub: boolean;
}

/** container.json: written before anything of the container is made. */
export interface ContainerFacts {
  readonly id: string;
  readonly bundle: string;
  /** Told to the runtime in its place: its maker's, which stays as it is. `since`: milliseconds since the epoch, before the runtime is asked to make it. */
  readonly named?: { readonly bundle: string; readonly since: number } | undefined;
  readonly scratch: string | undefined;
  /** Name of the OCI runtime that keeps it. */
  readonly runtime: string;
  /** Of the streams of init. */
  readonly stdio: number;
  readonly terminal: boolean;
  /** Id of its network namespace as the host names it. */
  readonly network: string | undefined;
  /** Its resolv.conf, as it was planned. */
  readonly resolver: { readonly path: string; readonly content: string } | undefined;
  readonly door?: DoorFacts | undefined;
  /** What writing the bundle adds, the deepest directory first. */
  readonly made: { readonly files: readonly string[]; readonly directories: readonly string[] };
}

export type ContainerPhase =
  /** To be undone. */
  | 'creating'
  | 'created'
  /** The runtime starts it: it may run already. */
  | 'starting'
  | 'running'
  /** To be finished. */
  | 'deleting'
  /** All but the announcement of its end, which waits for the host. */
  | 'gone';

/** What the host is told of the end of a container. */
export interface AnnouncedExit {
  readonly type: 'GracefulExit' | 'ForcedExit' | 'UnexpectedExit';
  readonly memoryKills?: number;
}

/** state.json: one small write for each transition. */
export interface ContainerProgress {
  phase: ContainerPhase;
  init?: ProcessIdentity;
  /** Text of /proc/PID/cgroup of init. */
  membership?: string;
  /** Milliseconds since the epoch. */
  createdAt?: number;
  startedAt?: number;
  /** Clients may attach to init: it was started without streams. */
  hub?: boolean;
  end?: RecordedEnd;
  /** The end was told to who follows events. */
  endTold?: boolean;
  /** The last of SIGTERM and SIGKILL that reached init through the agent. */
  endedBy?: number;
  exit?: AnnouncedExit;
  /** The host has been told of the end. */
  announced?: boolean;
}

export type ProcessStreamsKind = 'pipes' | 'terminal' | 'direct';

/** p/N.json: a process the host asked for, in a container or in the VM. N is the number of its streams. */
export interface ProcessProgress {
  streams: ProcessStreamsKind;
  /** 'starting': the host was not told of it, and it is to be ended. */
  phase: 'starting' | 'running';
  process?: ProcessIdentity;
  end?: RecordedEnd;
  /** Its end was told to who follows events. */
  endTold?: boolean;
  readonly door?: DoorExec | undefined;
}

/** The end of a process as it was recorded. */
export function endFrom({ status, at, reason }: RecordedEnd): ProcessEnd {
  return { status, endedAtNs: BigInt(at), reason };
}
