import { readOomKills } from '../cgroup/oom.ts';
import { type OomCounts, OomWatch } from '../cgroup/oom-watch.ts';
import { runWithoutLogFields } from '../log/context.ts';
import type { Logger } from '../log/logger.ts';
import { type ExitStatus, exitCodeOf } from '../os/process.ts';
import type { RuntimeContainer } from '../runtime/runtime.ts';

/** 128 + SIGKILL: what a killed process exits with, and a shell whose command was killed. */
const KILLED = 137;

/**
 * What the kernel does to a container that has no memory left: told in the log as it happens, and
 * once more when it was the end of it, for exit code 137 alone does not say who sent the SIGKILL.
 * Read from the cgroup, which lasts until the container is deleted.
 */
export class MemoryKills implements Disposable {
  readonly #container: Pick<RuntimeContainer, 'cgroup'>;
  readonly #logger: Logger;
  readonly #onEvent: (counts: OomCounts) => void;
  #watch: OomWatch | undefined;
  #told = false;

  constructor(
    container: Pick<RuntimeContainer, 'cgroup'>,
    logger: Logger,
    onEvent: (counts: OomCounts) => void,
  ) {
    this.#container = container;
    this.#logger = logger;
    this.#onEvent = onEvent;
  }

  /** To be called when there is time for it: no process of a container waits for this. */
  watch(): void {
    const { cgroup } = this.#container;
    if (cgroup === undefined || this.#watch !== undefined) return;
    try {
      this.#watch = runWithoutLogFields(() =>
        OomWatch.start(cgroup, ({ events, kills }) => {
          this.#logger.warning('out of memory', { events, kills });
          this.#onEvent({ events, kills });
        }),
      );
    } catch (error) {
      this.#logger.warning('memory is not watched', { error: String(error) });
    }
  }

  /** Counts so far; undefined while nothing happened. */
  get counts(): OomCounts | undefined {
    const counts = this.#watch?.counts;
    return counts === undefined || counts.events + counts.kills === 0 ? undefined : counts;
  }

  /** Processes killed by now, watched or not. */
  get kills(): number {
    return this.#read();
  }

  /** How many of its processes were killed for memory, when it is that which ended it; else 0. */
  endedBy(status: ExitStatus): number {
    return exitCodeOf(status) === KILLED ? this.#read() : 0;
  }

  /** Says once in the log what is known now, before the cgroup goes. */
  tell(): void {
    if (this.#told || !this.#logger.enabled('info')) return;
    this.#told = true;
    const kills = this.#read();
    if (kills === 0) return;
    runWithoutLogFields(() =>
      this.#logger.info('the kernel killed processes for memory', { kills }),
    );
  }

  #read(): number {
    const { cgroup } = this.#container;
    if (cgroup === undefined) return 0;
    try {
      return readOomKills(cgroup) ?? 0;
    } catch (error) {
      this.#logger.warning('kills for memory cannot be read', { error: String(error) });
      return 0;
    }
  }

  [Symbol.dispose](): void {
    this.#watch?.close();
  }
}
