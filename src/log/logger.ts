export type LogLevel = 'trace' | 'debug' | 'info' | 'warning' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured log. One line an entry; secrets are scrubbed by the sink, see src/log/scrub.ts. */
export interface Logger {
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with these fields on every entry. */
  with(fields: LogFields): Logger;
  enabled(level: LogLevel): boolean;
}

const nothing = (): void => {};
/** Discards everything. */
export const silentLogger: Logger = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warning: nothing,
  error: nothing,
  with: () => silentLogger,
  enabled: () => false,
};
