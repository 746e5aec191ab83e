import { constants } from 'node:os';
import { thaw } from '../cgroup/processes.ts';
import type { Logger } from '../log/logger.ts';
import type { RuntimeContainer } from '../runtime/runtime.ts';
import { runtimeFailure } from './runtime-failure.ts';

/** Whether a container's processes are stopped, and how they go on. */
export class Freezer {
  readonly #runtime: RuntimeContainer;
  readonly #logger: Logger;
  #frozen: boolean;

  constructor(runtime: RuntimeContainer, logger: Logger, frozen: boolean) {
    this.#runtime = runtime;
    this.#logger = logger;
    this.#frozen = frozen;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  async freeze(): Promise<void> {
    await runtimeFailure('pause', this.#runtime.id, () => this.#runtime.pause());
    this.#frozen = true;
  }

  async resume(): Promise<void> {
    await runtimeFailure('resume', this.#runtime.id, () => this.#runtime.resume());
    this.#frozen = false;
  }

  /** Without the runtime, for what is to end. */
  async thaw(): Promise<void> {
    if (!this.#frozen) return;
    this.#frozen = false;
    if (this.#runtime.cgroup !== undefined) await thaw(this.#runtime.cgroup);
  }

  /** What is frozen takes its SIGKILL only when it is thawed (cgroup v1). */
  delivered(signal: number): void {
    if (signal !== constants.signals.SIGKILL) return;
    this.thaw().catch((error) =>
      this.#logger.error('a killed container cannot be thawed', { error: String(error) }),
    );
  }
}
