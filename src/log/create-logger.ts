import { openSync } from 'node:fs';
import { native } from '../os/native.ts';
import { FdPoll } from '../os/poll.ts';
import { currentLogFields } from './context.ts';
import { formatEntry, type LogFormat } from './format.ts';
import { severity } from './levels.ts';
import type { LogFields, Logger, LogLevel } from './logger.ts';
import { plainFields } from './plain.ts';
import { FdSink, type LogSink, openNonBlocking, type WatchWritable } from './sink.ts';
import { timestamp } from './timestamp.ts';

export interface LoggerOptions {
  format: LogFormat;
  level: LogLevel;
  /** Where the lines go: a descriptor that stays the caller's, or a file that is appended to. Default: 2. */
  to?: { fd: number } | { file: string } | { sink: LogSink };
  /** Take secrets out of every entry; default true. */
  scrub?: boolean;
}

/** A logger that owns its sink. */
export interface RootLogger extends Logger, Disposable {
  /** Entries below it are not written; may be set at any time, for every logger made from this one. */
  level: LogLevel;
  /** Tries to write what a slow reader has not taken: before the process ends. */
  flush(): void;
}

/** What all loggers of one root share. */
interface Core {
  readonly format: LogFormat;
  level: LogLevel;
  readonly scrub: boolean;
  readonly sink: LogSink;
}

class StructuredLogger implements Logger {
  readonly #core: Core;
  readonly #fields: LogFields;

  constructor(core: Core, fields: LogFields) {
    this.#core = core;
    this.#fields = fields;
  }

  trace(message: string, fields?: LogFields): void {
    this.#write('trace', message, fields);
  }

  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields);
  }

  warning(message: string, fields?: LogFields): void {
    this.#write('warning', message, fields);
  }

  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields);
  }

  with(fields: LogFields): Logger {
    return new StructuredLogger(this.#core, { ...this.#fields, ...fields });
  }

  enabled(level: LogLevel): boolean {
    return severity[level] >= severity[this.#core.level];
  }

  #write(level: LogLevel, message: string, fields: LogFields | undefined): void {
    if (!this.enabled(level)) return;
    const { format, scrub, sink } = this.#core;
    const all = { ...currentLogFields(), ...this.#fields, ...fields };
    sink.write(
      formatEntry(format, { time: timestamp(), level, message, fields: plainFields(all, scrub) }),
    );
  }
}

class Root extends StructuredLogger implements RootLogger {
  readonly #own: Core;

  constructor(core: Core) {
    super(core, {});
    this.#own = core;
  }

  get level(): LogLevel {
    return this.#own.level;
  }

  set level(level: LogLevel) {
    this.#own.level = level;
  }

  flush(): void {
    this.#own.sink.flush();
  }

  [Symbol.dispose](): void {
    this.#own.sink[Symbol.dispose]();
  }
}

/** The log must not keep the agent alive. */
const watchWritable: WatchWritable = (fd, onWritable) => {
  const poll = new FdPoll(fd, { write: true }, onWritable);
  poll.unref();
  return poll;
};

function openSink(to: NonNullable<LoggerOptions['to']>, format: LogFormat): LogSink {
  if ('sink' in to) return to.sink;
  const droppedLine = (count: number): string =>
    formatEntry(format, {
      time: timestamp(),
      level: 'warning',
      message: `${count} log entries dropped: nobody read them`,
      fields: { dropped: count },
    });
  const { fd, owned } =
    'file' in to
      ? { fd: openSync(to.file, 'a', 0o600), owned: true }
      : openNonBlocking(to.fd, (raw) => void native().setNonBlock(raw, true));
  return new FdSink(fd, { droppedLine, watchWritable, owned });
}

/** The agent's log. Throws what open(2) says about `file`. */
export function createLogger(options: LoggerOptions): RootLogger {
  const { format, level, to = { fd: 2 }, scrub = true } = options;
  return new Root({ format, level, scrub, sink: openSink(to, format) });
}
