import { readFileSync, writeFileSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { makeCgroup } from './make.ts';
import { LegacyMemoryEvent, MemoryPressure } from './memory-events.ts';

type Report = (usage: number, threshold: number) => void;

/**
 * Puts the agent into a cgroup of its own and says in the log when it uses more than it should: on
 * cgroup v1 when the mark is crossed, on v2 when memory runs short while the agent is above it.
 *
 * v2 tells of a mark that was crossed only by memory.high, and there it takes the agent's pages away
 * and puts it to sleep, which ends in containers nobody serves. What it does tell without acting is
 * that the agent waits for memory (Documentation/accounting/psi.rst). Then, and no sooner, is its
 * use of interest to anybody.
 */
export async function watchAgent(options: {
  /** In bytes. */
  readonly agentBytes: number;
  readonly log: Logger;
  /** Default /gcs. */
  readonly cgroup?: string;
}): Promise<Disposable> {
  const { agentBytes, log, cgroup = '/gcs' } = options;
  const gcs = await makeCgroup(cgroup, {}, { inner: false, log, controllers: ['memory'] });
  const legacy = gcs.controllers.get('memory');
  const directory = legacy ?? gcs.unified;
  if (directory === undefined) throw new AgentError('not-supported', 'this machine has no cgroups');
  writeFileSync(`${directory}/cgroup.procs`, `${process.pid}`, { flag: 'r+' });
  const report: Report = (usage, threshold) =>
    log.warning('the agent uses more memory than expected', { usage, threshold });
  if (legacy !== undefined) return watchLegacy(legacy, agentBytes, report);
  try {
    return watchUnified(directory, agentBytes, report);
  } catch (error) {
    // A kernel without it, or that was booted with psi=0.
    log.info('the agent’s own use of memory is not watched', { error: String(error) });
    return { [Symbol.dispose]: () => {} };
  }
}

/** Each mark that was reached is doubled: the log gets a line for each doubling, not one for each byte beyond. */
function watchLegacy(directory: string, first: number, report: Report): Disposable {
  let threshold = first;
  let event: LegacyMemoryEvent;
  const look = (): void => {
    const usage = Number(readFileSync(`${directory}/memory.usage_in_bytes`, 'latin1'));
    // Told when it is crossed in either direction.
    if (usage < threshold) return;
    report(usage, threshold);
    threshold = beyond(threshold, usage);
    event[Symbol.dispose]();
    event = begin();
  };
  const begin = (): LegacyMemoryEvent =>
    new LegacyMemoryEvent(directory, 'memory.usage_in_bytes', look, `${threshold}`);
  event = begin();
  return { [Symbol.dispose]: () => event[Symbol.dispose]() };
}

function watchUnified(directory: string, first: number, report: Report): Disposable {
  let threshold = first;
  return new MemoryPressure(directory, () => {
    const usage = Number(readFileSync(`${directory}/memory.current`, 'latin1'));
    if (usage < threshold) return;
    report(usage, threshold);
    threshold = beyond(threshold, usage);
  });
}

/** The next mark: doubled at least once, and until it is above what is in use. */
function beyond(threshold: number, usage: number): number {
  let next = threshold * 2;
  while (next <= usage) next *= 2;
  return next;
}
