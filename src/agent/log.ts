import { createLogger, type RootLogger } from '../log/create-logger.ts';
import { parseLogLevel } from '../log/levels.ts';
import type { AgentFlags } from './flags.ts';
import { FlagError } from './go-flags.ts';

/** The log that the flags ask for. Throws FlagError, also for a file that cannot be opened. */
export function openLog(flags: AgentFlags): RootLogger {
  const level = parseLogLevel(flags.loglevel);
  if (level === undefined) {
    throw new FlagError(
      `-loglevel: ${JSON.stringify(flags.loglevel)} is none of trace, debug, info, warning, error`,
    );
  }
  const format = flags['log-format'];
  if (format !== 'text' && format !== 'json') {
    throw new FlagError(`-log-format: ${JSON.stringify(format)} is neither text nor json`);
  }
  const to = flags.logfile === '' ? { fd: 2 } : { file: flags.logfile };
  try {
    return createLogger({ format, level, to, scrub: flags['scrub-logs'] });
  } catch (error) {
    if (flags.logfile === '') throw error;
    throw new FlagError(`-logfile: ${error instanceof Error ? error.message : String(error)}`);
  }
}
