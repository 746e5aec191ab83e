import type { LogLevel } from './logger.ts';

/** Severity: an entry is written when its number is at least the logger's. */
export const severity: Readonly<Record<LogLevel, number>> = {
  trace: 0,
  debug: 1,
  info: 2,
  warning: 3,
  error: 4,
};

/** The names logrus knows. It has two levels above error, at which this agent writes nothing. */
const levelOfName: Readonly<Record<string, LogLevel>> = {
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warn: 'warning',
  warning: 'warning',
  error: 'error',
  fatal: 'error',
  panic: 'error',
};

/** Level of a name as logrus takes it, in any case; undefined when there is none. */
export function parseLogLevel(name: string): LogLevel | undefined {
  const folded = name.toLowerCase();
  return Object.hasOwn(levelOfName, folded) ? levelOfName[folded] : undefined;
}
