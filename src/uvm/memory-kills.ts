import { runWithoutLogFields } from '../log/context.ts';
import type { Logger } from '../log/logger.ts';
import type { RuntimeContainer } from '../runtime/runtime.ts';

/**
 * Tells the log, once, that the kernel has killed processes of a container for memory: exit code
 * 137 alone does not say who sent the SIGKILL. Read from the cgroup, which lasts until the
 * container is deleted.
 */
export class MemoryKills {
  readonly #container: Pick<RuntimeContainer, 'cgroup'>;
  readonly #logger: Logger;
  #told: Promise<void> | undefined;

  constructor(container: Pick<RuntimeContainer, 'cgroup'>, logger: Logger) {
    this.#container = container;
    this.#logger = logger;
  }

  /** Resolves when the cgroup has been read; never rejects. */
  tell(): Promise<void> {
    this.#told ??= runWithoutLogFields(() => this.#read());
    return this.#told;
  }

  async #read(): Promise<void> {
    if (!this.#logger.enabled('info')) return;
    try {
      const { cgroup } = this.#container;
      if (cgroup === undefined) return;
      // Loaded when first used: an agent without containers pays nothing.
      const { readOomKills } = await import('../cgroup/oom.ts');
      const kills = (await readOomKills(cgroup)) ?? 0;
      if (kills > 0) this.#logger.info('the kernel killed processes for memory', { kills });
    } catch (error) {
      this.#logger.warning('kills for memory cannot be read', { error: String(error) });
    }
  }
}
