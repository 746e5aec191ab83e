import { writeFileSync } from 'node:fs';
import type { Logger } from '../log/logger.ts';

export interface CoreDumpOptions {
  /** A pattern as core(5) describes it; empty: the kernel's stays. */
  pattern: string;
  /** Whether the machine is a VM of ours. */
  ownMachine: boolean;
  /** Where the kernel takes it; another file in tests. */
  file?: string;
}

/**
 * Says where the kernel writes core dumps. The pattern is the whole machine's, so it is set only in
 * a VM of ours; anywhere else, and when the kernel refuses, the log says so and the agent goes on.
 */
export function setCorePattern(options: CoreDumpOptions, log: Logger): void {
  const { pattern, ownMachine, file = '/proc/sys/kernel/core_pattern' } = options;
  if (pattern === '') return;
  if (!ownMachine) {
    log.warning('-core-dump-location has no effect: the machine is not ours', { pattern });
    return;
  }
  try {
    writeFileSync(file, pattern);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.error('core dump location not set', { pattern, error: reason });
  }
}
