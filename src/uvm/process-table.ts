import { AgentError } from '../errors.ts';
import type { GuestProcess } from './guest-process.ts';
import { uvmLimits } from './limits.ts';

/**
 * Processes of one container, or of the VM, by pid. An exited one stays until somebody waited for
 * it; so that a host that never waits cannot fill the memory, the oldest exited one is forgotten
 * when there are too many.
 */
export class ProcessTable {
  readonly #byPid = new Map<number, GuestProcess>();
  readonly #onForgotten: (pid: number) => void;
  #starting = 0;

  constructor(onForgotten: (pid: number) => void) {
    this.#onForgotten = onForgotten;
  }

  /** Keeps a place for a process that is about to be started; throws 'limit' when there is none. */
  reserve(): Disposable {
    if (this.#byPid.size + this.#starting >= uvmLimits.processesPerTarget) {
      throw new AgentError('limit', `more than ${uvmLimits.processesPerTarget} processes`);
    }
    this.#starting++;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#starting--;
        held = false;
      },
    };
  }

  add(process: GuestProcess): void {
    // The kernel gave this pid to a new process: the old one is gone for good.
    this.#byPid.get(process.pid)?.forget();
    this.#byPid.delete(process.pid);
    this.#byPid.set(process.pid, process);
    process.onReleased = () => this.#remove(process);
    void process.drained.then(() => this.#forgetOldest());
  }

  get(pid: number): GuestProcess | undefined {
    return this.#byPid.get(pid);
  }

  [Symbol.iterator](): IterableIterator<GuestProcess> {
    return this.#byPid.values();
  }

  get size(): number {
    return this.#byPid.size;
  }

  #remove(process: GuestProcess): void {
    if (this.#byPid.get(process.pid) === process) this.#byPid.delete(process.pid);
    process.forget();
  }

  #forgetOldest(): void {
    if (this.#byPid.size <= uvmLimits.exitedProcesses) return;
    const exited = [...this.#byPid.values()].filter((p) => !p.running && p.waiters === 0);
    for (const process of exited.slice(0, Math.max(0, exited.length - uvmLimits.exitedProcesses))) {
      this.#remove(process);
      this.#onForgotten(process.pid);
    }
  }
}
