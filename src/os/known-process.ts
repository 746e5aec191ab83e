import { ExitRecords } from './exit-records.ts';
import type { Child, ExitStatus, ProcessEnd } from './process.ts';
import type { Reaper } from './reaper.ts';

/** A process that an agent before this one started, with its end where that is known. */
export interface KnownProcess {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of proc_pid_stat(5). */
  readonly startTime: number;
  readonly end?: ProcessEnd | undefined;
}

/**
 * The process as a child of ours, whether it lives or not: how it ended is what is known of it, or
 * what init has written, or exit code 255 with the reason why nobody knows.
 */
export function adoptKnown(reaper: Reaper, known: KnownProcess): Child {
  const { pid, startTime, end } = known;
  if (end !== undefined) return new EndedChild(known, end);
  const child = reaper.adoptForeign(pid, startTime);
  if (child !== undefined) return child;
  const record = ExitRecords.fromEnvironment().read(pid, startTime);
  if (record !== undefined) return new EndedChild(known, { ...record, reason: undefined });
  return new EndedChild(known, {
    status: { kind: 'exited', code: 255 },
    endedAtNs: BigInt(Date.now()) * 1_000_000n,
    reason: `process ${pid} ended when no agent ran, and nobody recorded how`,
  });
}

/** A process that has ended already. */
class EndedChild implements Child {
  readonly pid: number;
  readonly startTime: number;
  readonly exited: Promise<ExitStatus>;
  readonly status: ExitStatus;
  readonly ended: ProcessEnd;
  beforeCollect: ((end: ProcessEnd) => void) | undefined;

  constructor({ pid, startTime }: KnownProcess, end: ProcessEnd) {
    this.pid = pid;
    this.startTime = startTime;
    this.ended = end;
    this.status = end.status;
    this.exited = Promise.resolve(end.status);
  }

  signal(): boolean {
    return false;
  }
}
