import type { ExitRecords } from './exit-records.ts';
import type { Fd } from './fd.ts';
import { native } from './native.ts';
import { untilReady } from './poll.ts';
import type { ProcessEnd } from './process.ts';
import { statusOfWait } from './wait.ts';

/** What the exit of a process that somebody else collected is reported as, when nobody can tell. */
const UNKNOWN_EXIT = { kind: 'exited', code: 255 } as const;

export interface ForeignProcess {
  readonly pid: number;
  /** Clock ticks since boot. */
  readonly startTime: number;
  readonly pidfd: Fd;
  readonly records: ExitRecords;
  /** Milliseconds that its parent, our init, has to write its record. */
  readonly waitMs: number;
}

/**
 * How a process ended that is not our child and has ended: what init wrote, else what the kernel
 * tells once it was collected (Linux 6.15), else 255 with the reason. Waits for the record, and
 * where the kernel announces it (Linux 6.9) for the collecting. Never rejects.
 */
export async function endElsewhere(process: ForeignProcess): Promise<ProcessEnd> {
  const { pid, startTime, pidfd, records, waitMs } = process;
  const problems: string[] = [];
  const over = new AbortController();
  const note = (error: unknown): void => {
    const text = error instanceof Error ? error.message : String(error);
    if (!over.signal.aborted && !problems.includes(text)) problems.push(text);
  };
  const timer = setTimeout(() => over.abort(), waitMs);
  const collected = untilCollected(pidfd, over.signal).catch(note);
  const recorded = records.await(pid, startTime, { signal: over.signal }).then(
    () => {},
    (error: unknown) => {
      note(error);
      return collected;
    },
  );
  await Promise.race([recorded, collected]);
  clearTimeout(timer);
  try {
    const record = records.read(pid, startTime);
    if (record !== undefined) return { ...record, reason: undefined };
  } catch (error) {
    note(error);
  } finally {
    // Where the kernel does not announce the collecting it would be waited for without end.
    over.abort();
  }
  const wait = native().pidfdExitStatus(pidfd.raw);
  const endedAtNs = now();
  if (wait >= 0) return { status: statusOfWait(wait), endedAtNs, reason: undefined };
  const because = problems.length === 0 ? '' : ` (${problems.join(', ')})`;
  return {
    status: UNKNOWN_EXIT,
    endedAtNs,
    reason: `process ${pid} ended as a child of another, who left no record of it${because}`,
  };
}

/** CLOCK_REALTIME in nanoseconds, to the millisecond. */
export function now(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

/** Resolves when its parent has collected it, or when the signal says that it is over. */
async function untilCollected(pidfd: Fd, signal: AbortSignal): Promise<void> {
  // The number itself may still be watched for the end.
  using watched = pidfd.dup();
  try {
    // Neither readable nor writable is asked for: POLLHUP alone is news.
    await untilReady(watched.raw, { disconnect: true }, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
