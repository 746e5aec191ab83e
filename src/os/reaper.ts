import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { type ForeignOptions, PidfdChild } from './child.ts';
import { check, hasCode, OsError } from './errors.ts';
import { ExitRecords } from './exit-records.ts';
import { Fd } from './fd.ts';
import { native } from './native.ts';
import { nodeChildren, onNodeChildExit } from './node-children.ts';
import { type Child, processStartTime, type SpawnOptions } from './process.ts';
import { spawnProcess } from './spawn.ts';
import { P_ALL, P_PID, P_PIDFD, WEXITED, WNOHANG, WNOTHREAD, WNOWAIT } from './wait.ts';

const { errno, signals } = constants;

/** Orphans collected in one turn of the event loop, so that a storm of them starves nobody. */
const ORPHANS_A_TURN = 512;

/** Milliseconds between the end of a process of init's and the record of it that init writes at once. */
const RECORD_WAIT_MS = 5000;

let running: Reaper | undefined;

/**
 * Collects the exit status of every process that becomes ours: children spawned here, processes
 * re-parented to us (child subreaper, prctl(2) PR_SET_CHILD_SUBREAPER, or PID 1) that somebody
 * adopts, and orphans nobody knows. Children of Node's own child_process are left to Node.
 *
 * Known processes are watched by pidfd, each collected by itself and in no order. Only orphans are
 * found by SIGCHLD, and looked at before they are taken (WNOWAIT), never blindly. Orphans go to the
 * main thread (the first living thread of the subreaper), so children that a worker thread waits for
 * are told apart with __WNOTHREAD.
 */
export class Reaper implements Disposable {
  readonly #owned = new Map<number, PidfdChild>();
  readonly #parked = new Set<PidfdChild>();
  readonly #stopListening: () => void;
  #holds = 0;
  #orphansCollected = 0;
  #scheduled = false;
  /** A pass met the zombie of somebody who will collect it, and could not look behind it. */
  #blocked = false;
  #disposed = false;

  /** One per process; makes the process child subreaper. Throws when there is one already. */
  static start(): Reaper {
    if (running !== undefined) throw new Error('this process has a Reaper already');
    running = new Reaper();
    return running;
  }

  private constructor() {
    check('prctl PR_SET_CHILD_SUBREAPER', native().setChildSubreaper(true));
    const onChild = (): void => this.#kick();
    process.on('SIGCHLD', onChild);
    const stopNode = onNodeChildExit(() => {
      if (this.#blocked) this.#kick();
    });
    this.#stopListening = () => {
      process.off('SIGCHLD', onChild);
      stopNode();
    };
    // What ended before we listened.
    this.#kick();
  }

  /** clone(2) with CLONE_VFORK | CLONE_VM; throws OsError when exec fails (ENOENT, EACCES …). */
  spawn(options: SpawnOptions): Child {
    const { pid, pidfd } = spawnProcess(options);
    try {
      return this.#watch(pid, pidfd);
    } catch (error) {
      // It could never be collected: it must not stay.
      native().pidfdSignal(pidfd.raw, signals.SIGKILL);
      native().waitid(P_PIDFD, pidfd.raw, WEXITED, new Int32Array(3));
      pidfd.close();
      throw error;
    }
  }

  /** While a hold is open no unknown orphan is collected: take it before running a command that leaves a process behind, adopt(pid), release. */
  hold(): Disposable {
    this.#holds++;
    let open = true;
    return {
      [Symbol.dispose]: () => {
        if (!open) return;
        open = false;
        this.#holds--;
        if (this.#holds === 0) this.#kick();
      },
    };
  }

  /**
   * Takes over a process that is or will be our child. Call under a hold, so that its pid cannot
   * have been recycled. Works for one that has ended already. The same pid again gives the same
   * Child. Throws OsError ESRCH when there is no such process, EBUSY for a child of Node's own.
   *
   * A process that its parent collects before it becomes ours ends with the status the kernel still
   * tells (Linux 6.15), else with exit code 255.
   */
  adopt(pid: number): Child {
    const known = this.#owned.get(pid);
    if (known !== undefined) return known;
    if (nodeChildren().has(pid)) throw new OsError('adopt', errno.EBUSY, `${pid}`);
    const pidfd = new Fd(check('pidfd_open', native().pidfdOpen(pid), `${pid}`));
    try {
      return this.#watch(pid, pidfd);
    } catch (error) {
      pidfd.close();
      throw error;
    }
  }

  /**
   * Watches a process that is init's child, since the agent that had it died: its pidfd tells of its
   * end, and init's record of how. Undefined when `pid` is not, or no more, the process that started
   * at `startTime` (clock ticks since boot): its record is there then. The same process again gives
   * the same Child. Without a record within `waitMs` of the end (default 5000) the kernel is asked,
   * and when it cannot tell either the process ends with exit code 255 and a reason. Throws OsError
   * for what is no answer (EMFILE …).
   */
  adoptForeign(
    pid: number,
    startTime: number,
    options: { records?: ExitRecords; waitMs?: number } = {},
  ): Child | undefined {
    const known = this.#owned.get(pid);
    if (known?.startTime === startTime) return known;
    const result = native().pidfdOpen(pid);
    // EINVAL, ENOENT: the number is that of a thread now.
    if ([errno.ESRCH, errno.EINVAL, errno.ENOENT].includes(-result)) return undefined;
    const pidfd = new Fd(check('pidfd_open', result, `${pid}`));
    try {
      // Opened first: it is the one that is looked at, unless that has ended, and then it is not.
      if (processStartTime(pid) === startTime) {
        const { records = ExitRecords.fromEnvironment(), waitMs = RECORD_WAIT_MS } = options;
        return this.#watch(pid, pidfd, { startTime, records, waitMs });
      }
    } catch (error) {
      pidfd.close();
      throw error;
    }
    pidfd.close();
    return undefined;
  }

  /** Orphans collected so far that nobody had adopted. */
  get orphansCollected(): number {
    return this.#orphansCollected;
  }

  /** Processes watched at the moment. */
  get watched(): number {
    return this.#owned.size;
  }

  /** Stops collecting orphans. Children already watched are still collected, but keep nothing alive. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    running = undefined;
    this.#stopListening();
    for (const child of this.#owned.values()) child.unref();
    check('prctl PR_SET_CHILD_SUBREAPER', native().setChildSubreaper(false));
  }

  #watch(pid: number, pidfd: Fd, foreign?: ForeignOptions): PidfdChild {
    const events = {
      parked: () => this.#parked.add(child),
      collected: () => {
        // The pid may be another's by now.
        if (this.#owned.get(pid) === child) this.#owned.delete(pid);
        this.#parked.delete(child);
        if (this.#blocked) this.#kick();
      },
    };
    const child: PidfdChild = new PidfdChild(pid, pidfd, events, foreign);
    this.#owned.set(pid, child);
    if (this.#disposed) child.unref();
    return child;
  }

  /** At the end of this turn of the loop, when libuv and the pidfds have taken what is theirs. */
  #kick(): void {
    if (this.#scheduled || this.#disposed) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#disposed) this.#pass();
    });
  }

  #pass(): void {
    for (const child of this.#parked) child.collect();
    if (this.#holds > 0) return;
    this.#blocked = false;
    const node = nodeChildren();
    const peek = new Int32Array(3);
    for (let count = 0; count < ORPHANS_A_TURN; count++) {
      const options = WEXITED | WNOHANG | WNOWAIT | WNOTHREAD;
      const result = native().waitid(P_ALL, 0, options, peek);
      if (result === -errno.ECHILD || result === 0) return;
      check('waitid', result);
      const [pid = 0] = peek;
      if (node.has(pid) || this.#owned.has(pid)) {
        this.#lookBehind(node);
        return;
      }
      this.#collectOrphan(pid);
    }
    this.#kick();
  }

  #collectOrphan(pid: number): void {
    const result = native().waitid(P_PID, pid, WEXITED | WNOHANG | WNOTHREAD, new Int32Array(3));
    if (result === 1) this.#orphansCollected++;
    else if (result !== -errno.ECHILD) check('waitid', result, `${pid}`);
  }

  /**
   * The kernel shows only its first zombie, and that one is not ours to take: all children of this
   * thread are asked one by one. Without the list (proc_pid_task(5) `children` needs
   * CONFIG_PROC_CHILDREN) the next pass comes when that zombie has been collected.
   */
  #lookBehind(node: ReadonlySet<number>): void {
    const pids = mainThreadChildren();
    if (pids === undefined) {
      this.#blocked = true;
      return;
    }
    for (const pid of pids) {
      if (!node.has(pid) && !this.#owned.has(pid)) this.#collectOrphan(pid);
    }
  }
}

/** Read in one synchronous go on the main thread, which alone collects: so the list is complete. */
function mainThreadChildren(): number[] | undefined {
  try {
    const text = readFileSync('/proc/thread-self/children', 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
