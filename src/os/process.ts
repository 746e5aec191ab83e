import { readFileSync } from 'node:fs';
import { hasCode } from './errors.ts';

/** How a process ended, see waitid(2). */
export type ExitStatus =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signaled'; readonly signal: number; readonly coreDumped: boolean };

/** The shell's view that the bridge protocol uses: exit code, or 128 + signal. */
export function exitCodeOf(status: ExitStatus): number {
  return status.kind === 'exited' ? status.code : 128 + status.signal;
}

export interface SpawnOptions {
  /** Program; looked up in `searchPath` when it has no slash. */
  file: string;
  /** argv, including argv[0]. */
  args: readonly string[];
  /** Complete environment as "NAME=value" strings. */
  env: readonly string[];
  cwd?: string;
  /** Directories, colon separated; default this process's PATH. */
  searchPath?: string;
  /** The child's descriptors 0, 1, 2 …: a descriptor of ours (stays ours; O_NONBLOCK is not changed), or null for /dev/null. */
  stdio: readonly (number | null)[];
  /** setsid(2) in the child. */
  newSession?: boolean;
  /** Path of a pty slave that becomes the controlling terminal and descriptors 0 to 2 (implies newSession; `stdio` is ignored). */
  terminal?: string;
}

/** How and when a process ended. */
export interface ProcessEnd {
  readonly status: ExitStatus;
  /** CLOCK_REALTIME, nanoseconds since the epoch: as init recorded it, or when we took notice. */
  readonly endedAtNs: bigint;
  /** Why nobody knows the status, and 255 stands for it; undefined when it is exact. */
  readonly reason: string | undefined;
}

/** A process whose exit this agent collects. Signals go through its pidfd, so they never reach a recycled pid. */
export interface Child {
  readonly pid: number;
  /** Start time in clock ticks since boot, field 22 of /proc/PID/stat; 0 when it was not asked for before its exit was collected. */
  readonly startTime: number;
  /** Resolves once, with the exact status; never rejects. */
  readonly exited: Promise<ExitStatus>;
  /** The status when it has ended, else undefined. */
  readonly status: ExitStatus | undefined;
  /** The status with its time when it has ended, else undefined. */
  readonly ended?: ProcessEnd | undefined;
  /**
   * Called once, synchronously, when the end is known and before `exited` settles. As long as it has
   * not returned the kernel keeps the status of a child of ours: if we are killed until then, it goes
   * to init and its record. So who writes the status down here never loses it. What it throws is an
   * uncaught exception; the process is collected all the same.
   */
  beforeCollect?: ((end: ProcessEnd) => void) | undefined;
  /** pidfd_send_signal(2). False when the process has ended (ESRCH). Throws OsError for anything else (EINVAL: no such signal). */
  signal(signal: number): boolean;
}

/** A file of /proc/PID, undefined when there is no such process (any more). */
function readProc(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch (error) {
    // ESRCH: it ended between open and read.
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ESRCH')) return undefined;
    throw error;
  }
}

/** One field of proc_pid_stat(5), numbered from 1 as there, from 3 on. */
function statField(pid: number, field: number): string | undefined {
  const text = readProc(pid, 'stat');
  // Field 2 is the program's name, which may itself hold spaces and parentheses.
  return text
    ?.slice(text.lastIndexOf(')') + 2)
    .trimEnd()
    .split(' ')[field - 3];
}

/** Start time of a live process in clock ticks since boot (proc_pid_stat(5), field 22), undefined when there is none. */
export function processStartTime(pid: number): number | undefined {
  const field = statField(pid, 22);
  return field === undefined ? undefined : Number(field);
}

/** Command line of a process, split at NUL, last NUL dropped; empty for a zombie; undefined when it is gone. */
export function processCommandLine(pid: number): string[] | undefined {
  const text = readProc(pid, 'cmdline');
  if (text === undefined || text === '') return text === undefined ? undefined : [];
  return (text.endsWith('\0') ? text.slice(0, -1) : text).split('\0');
}

/** Process group of a process (proc_pid_stat(5), field 5); undefined when it is gone. */
export function processGroup(pid: number): number | undefined {
  const field = statField(pid, 5);
  return field === undefined ? undefined : Number(field);
}

/** Parent of a process (proc_pid_stat(5), field 4); undefined when it is gone. */
export function processParent(pid: number): number | undefined {
  const field = statField(pid, 4);
  return field === undefined ? undefined : Number(field);
}

/** Milliseconds since a process started, by its start time; that is counted in USER_HZ, 100 everywhere. */
export function processAgeMs(startTime: number): number {
  const [uptime = '0'] = readFileSync('/proc/uptime', 'utf8').split(' ');
  return Number(uptime) * 1000 - startTime * 10;
}

/** State letter of proc_pid_stat(5) field 3 ("R", "S", "Z" …); undefined when it is gone. */
export function processState(pid: number): string | undefined {
  return statField(pid, 3);
}
