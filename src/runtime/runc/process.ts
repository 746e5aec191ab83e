import type { Fd } from '../../os/fd.ts';
import type { Child, ExitStatus, ProcessEnd } from '../../os/process.ts';
import type { RuntimeProcess } from '../runtime.ts';

/** A process that the runtime left behind, as the agent's child. */
export class RuncProcess implements RuntimeProcess {
  readonly #child: Child;
  readonly terminal: Fd | undefined;

  constructor(child: Child, terminal: Fd | undefined) {
    this.#child = child;
    this.terminal = terminal;
  }

  get pid(): number {
    return this.#child.pid;
  }

  get startTime(): number {
    return this.#child.startTime;
  }

  get exited(): Promise<ExitStatus> {
    return this.#child.exited;
  }

  get status(): ExitStatus | undefined {
    return this.#child.status;
  }

  get ended(): ProcessEnd | undefined {
    return this.#child.ended;
  }

  get beforeCollect(): ((end: ProcessEnd) => void) | undefined {
    return this.#child.beforeCollect;
  }

  set beforeCollect(hook: ((end: ProcessEnd) => void) | undefined) {
    this.#child.beforeCollect = hook;
  }

  signal(signal: number): boolean {
    return this.#child.signal(signal);
  }
}
