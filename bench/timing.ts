import { setTimeout as delay } from 'node:timers/promises';

/** What it takes until `work` is done. */
export async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/**
 * A process that joins its cgroups within some milliseconds after another has done so is spared a
 * grace period of the kernel (percpu_rw_semaphore), which is most of what `runc exec` takes. Both
 * sides rest before each step, as containers do between the commands of a host; else who comes
 * sooner after the step before would be measured, not who does less.
 */
export async function rest(): Promise<void> {
  await delay(50);
}

/** {@link milliseconds} of what begins rested. */
export async function rested(work: () => Promise<unknown>): Promise<number> {
  await rest();
  return await milliseconds(work);
}
