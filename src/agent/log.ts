import { createLogger, type RootLogger } from '../log/create-logger.ts';
import { parseLogLevel } from '../log/levels.ts';
import type { AgentFlags } from './flags.ts';
import { FlagError } from './go-flags.ts';

/** The log that the flags ask for. Throws FlagError, or what open(2) says about the file. */
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
  return createLogger({
    format,
    level,
    to: flags.logfile === '' ? { fd: 2 } : { file: flags.logfile },
    scrub: flags['scrub-logs'],
  });
}
