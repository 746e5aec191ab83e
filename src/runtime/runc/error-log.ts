import { closeSync, openSync, statSync } from 'node:fs';
import { readTail } from './scratch-file.ts';

/** A runtime's last words are short; what is longer is a log that grew. */
const tailLimit = 64 * 1024;

/** crun logs this beside the reason when a child of its own has failed. */
const uninformative = 'fail startup';

/**
 * Messages of level error in a runtime's log of `--log-format json` (one object a line with
 * `level` and `msg`), oldest first. Lines that are something else are passed over: the log is
 * shared by commands, and one may have been cut.
 */
export function errorsInLog(text: string): string[] {
  const errors: string[] = [];
  for (const line of text.split('\n')) {
    const message = errorInLine(line);
    if (message !== undefined && message !== uninformative) errors.push(message);
  }
  return errors;
}

function errorInLine(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  let entry: { level?: unknown; msg?: unknown };
  try {
    entry = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (entry.level !== 'error' && entry.level !== 'fatal') return undefined;
  return typeof entry.msg === 'string' && entry.msg !== '' ? entry.msg : undefined;
}

/** The part of a runtime's log that is written from now on. */
export class ErrorLog {
  readonly path: string;
  /** Whether it was there already. */
  readonly exists: boolean;
  readonly #from: number;

  constructor(path: string) {
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    this.path = path;
    this.exists = size !== undefined;
    this.#from = size ?? 0;
  }

  /**
   * The runtime's last error. A `kill` may run beside another command on the same log, so a
   * message that begins with `prefix` goes before others.
   */
  lastError(prefix: string): string | undefined {
    const errors = errorsInLog(this.#read());
    return errors.findLast((message) => message.startsWith(prefix)) ?? errors.at(-1);
  }

  #read(): string {
    let fd: number;
    try {
      fd = openSync(this.path, 'r');
    } catch {
      return ''; // The runtime ended before it made its log; its exit status is all there is.
    }
    try {
      return readTail(fd, this.#from, tailLimit);
    } finally {
      closeSync(fd);
    }
  }
}

/** What a command said on stderr: its last line that is not empty. */
export function lastLine(text: string): string | undefined {
  return text
    .split('\n')
    .map((line) => line.trim())
    .findLast((line) => line !== '' && line !== uninformative);
}
