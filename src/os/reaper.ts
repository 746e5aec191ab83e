import type { Child, SpawnOptions } from './process.ts';

/**
 * Collects the exit status of every process that becomes ours: children spawned here, processes
 * re-parented to us (child subreaper, prctl(2) PR_SET_CHILD_SUBREAPER, or PID 1) that somebody
 * adopts, and orphans nobody knows. Children of Node's own child_process are left to Node.
 */
export declare class Reaper implements Disposable {
  /** One per process; makes the process child subreaper. */
  static start(): Reaper;
  /** posix_spawn (CLONE_VFORK | CLONE_VM); throws OsError when exec fails (ENOENT, EACCES …). */
  spawn(options: SpawnOptions): Child;
  /** While a hold is open no unknown orphan is collected: take it before running a command that leaves a process behind, adopt(pid), release. */
  hold(): Disposable;
  /** Takes over a process that is or will be our child. Call under a hold, so that its pid cannot have been recycled. Works for one that has ended already. Throws OsError ESRCH when there is no such process. */
  adopt(pid: number): Child;
  /** Orphans collected so far that nobody had adopted. */
  readonly orphansCollected: number;
  /** Processes watched at the moment. */
  readonly watched: number;
  [Symbol.dispose](): void;
}
