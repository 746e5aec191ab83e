import { constants } from 'node:os';
import { check } from './errors.ts';
import type { ExitRecords } from './exit-records.ts';
import type { Fd } from './fd.ts';
import { endElsewhere, now } from './foreign-end.ts';
import { native } from './native.ts';
import { FdPoll } from './poll.ts';
import { type Child, type ExitStatus, type ProcessEnd, processStartTime } from './process.ts';
import { P_PIDFD, statusOfSiginfo, statusOfWait, WEXITED, WNOHANG, WNOWAIT } from './wait.ts';

const { errno } = constants;
const POLLIN = 0x1;

/** What the exit of a process that somebody else collected is reported as, when the kernel cannot tell. */
const UNKNOWN_EXIT: ExitStatus = { kind: 'exited', code: 255 };

/**
 * Milliseconds between looks at a process that has ended under another parent. Its pidfd stays
 * readable, so it cannot be polled, and nothing announces that the other parent has collected it.
 */
const FOREIGN_ZOMBIE_RETRY_MS = 1000;

/** Of a process that is and stays a child of init. */
export interface ForeignOptions {
  /** Clock ticks since boot, verified. */
  readonly startTime: number;
  readonly records: ExitRecords;
  /** Milliseconds from its end until its record must be there. */
  readonly waitMs: number;
}

/** What the reaper is told. */
export interface ChildEvents {
  /** It has ended under another parent, and may become ours: collect() again after each SIGCHLD. */
  parked(): void;
  collected(): void;
}

/** One process on its pidfd: the loop wakes when it ends, and exactly this process is collected. */
export class PidfdChild implements Child {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  beforeCollect: ((end: ProcessEnd) => void) | undefined;
  #end: ProcessEnd | undefined;
  readonly #foreign: ForeignOptions | undefined;
  #asking = false;
  readonly #pidfd: Fd;
  readonly #poll: FdPoll;
  readonly #resolve: (status: ExitStatus) => void;
  readonly #events: ChildEvents;
  #retry: NodeJS.Timeout | undefined;
  #keepAlive = true;
  #startTime: number | undefined;

  /** Owns `pidfd` from the moment it has returned; the caller keeps it when it throws. */
  constructor(pid: number, pidfd: Fd, events: ChildEvents, foreign?: ForeignOptions) {
    this.pid = pid;
    this.#foreign = foreign;
    this.#startTime = foreign?.startTime;
    this.#pidfd = pidfd;
    this.#events = events;
    const { promise, resolve } = Promise.withResolvers<ExitStatus>();
    this.exited = promise;
    this.#resolve = resolve;
    this.#poll = new FdPoll(pidfd.raw, { read: true }, () => this.collect());
  }

  /** Read when it is first asked for: nobody asks it of the many commands that come and go. */
  get startTime(): number {
    // Once it is collected the pid may be another's.
    this.#startTime ??= this.#end === undefined ? processStartTime(this.pid) : undefined;
    return this.#startTime ?? 0;
  }

  get status(): ExitStatus | undefined {
    return this.#end?.status;
  }

  get ended(): ProcessEnd | undefined {
    return this.#end;
  }

  signal(signal: number): boolean {
    if (this.#end !== undefined) return false;
    // A zombie takes every signal without an effect; for the caller it has ended.
    if ((native().pollNow(this.#pidfd.raw, POLLIN) & POLLIN) !== 0) return false;
    const result = native().pidfdSignal(this.#pidfd.raw, signal);
    if (result === -errno.ESRCH) return false;
    check('pidfd_send_signal', result, `${signal} to ${this.pid}`);
    return true;
  }

  /** Takes the exit status when there is one. */
  collect(): void {
    if (this.#end !== undefined) return;
    const out = new Int32Array(3);
    const keep = this.beforeCollect === undefined ? 0 : WNOWAIT;
    const result = native().waitid(P_PIDFD, this.#pidfd.raw, WEXITED | WNOHANG | keep, out);
    if (result === -errno.ECHILD) this.#endedElsewhere();
    else if (check('waitid', result, `${this.pid}`) === 1) {
      const end = { status: statusOfSiginfo(out), endedAtNs: now(), reason: undefined };
      this.#tellOwner(end);
      if (keep !== 0) {
        check('waitid', native().waitid(P_PIDFD, this.#pidfd.raw, WEXITED | WNOHANG, out));
      }
      this.#finish(end);
    }
  }

  /**
   * Not our child. Either init collects it and writes down how it ended; or its parent has yet to
   * end and leave it to us (the reaper looks again at each SIGCHLD), or that parent has collected it.
   */
  #endedElsewhere(): void {
    if (this.#foreign !== undefined) {
      this.#askInit(this.#foreign);
      return;
    }
    if (native().pidfdSignal(this.#pidfd.raw, 0) === -errno.ESRCH) {
      const wait = native().pidfdExitStatus(this.#pidfd.raw);
      const status = wait < 0 ? UNKNOWN_EXIT : statusOfWait(wait);
      const reason = wait < 0 ? `process ${this.pid} was collected by another` : undefined;
      const end = { status, endedAtNs: now(), reason };
      this.#tellOwner(end);
      this.#finish(end);
      return;
    }
    if ((native().pollNow(this.#pidfd.raw, POLLIN) & POLLIN) === 0) return;
    this.#poll.pause();
    this.#retry ??= setInterval(() => this.collect(), FOREIGN_ZOMBIE_RETRY_MS);
    if (!this.#keepAlive) this.#retry.unref();
    this.#events.parked();
  }

  #askInit(foreign: ForeignOptions): void {
    if (this.#asking) return;
    this.#asking = true;
    this.#poll.pause();
    const { pid } = this;
    void endElsewhere({ ...foreign, pid, pidfd: this.#pidfd }).then((end) => {
      this.#tellOwner(end);
      this.#finish(end);
    });
  }

  #tellOwner(end: ProcessEnd): void {
    try {
      this.beforeCollect?.(end);
    } catch (error) {
      // The owner's fault must not leave a zombie behind, nor those who wait for the end.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #finish(end: ProcessEnd): void {
    this.#end = end;
    clearInterval(this.#retry);
    this.#retry = undefined;
    this.#poll.close();
    this.#pidfd.close();
    this.#events.collected();
    this.#resolve(end.status);
  }

  /** From now on this child does not keep the event loop alive. */
  unref(): void {
    this.#keepAlive = false;
    this.#poll.unref();
    this.#retry?.unref();
  }
}
