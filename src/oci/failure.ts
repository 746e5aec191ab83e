import { appendFileSync } from 'node:fs';
import { ManagementRequestError } from '../client/management/index.ts';
import type { Globals } from './globals.ts';

/** A failure that is told without a stack, in the words a user of an OCI runtime knows. */
export class OciError extends Error {
  override readonly name = 'OciError';
}

/** The reason of a failure in the words runc has for it: callers look for them. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof ManagementRequestError)) {
    return error instanceof Error ? systemWords(error.message) : String(error);
  }
  switch (error.code) {
    case 'container-not-found':
      return 'container does not exist';
    case 'container-exists':
      return 'container with given ID already exists';
    case 'container-not-running':
      return 'container not running';
    case 'container-not-paused':
      return 'container not paused';
    case 'invalid-container-id':
      return 'invalid container ID format';
    default:
      return (error.data.runtimeMessage ?? error.message).replace(BY_RUNTIME, '');
  }
}

/** What the agent puts before the words of its own runtime: this program stands in that place. */
const BY_RUNTIME = /^(?:runc \w+ failed(?: with exit status \d+)?: )?(?:exec failed: )?/;

/** "ENOENT: no such file or directory, open 'x'" as "open x: no such file or directory". */
function systemWords(message: string): string {
  return message.replace(/^[A-Z0-9]+: ([^,]+), (\w+) '([^']*)'$/, '$2 $3: $1');
}

/** One line as runc's logger writes it, so that whoever reads the runtime's log finds the reason. */
function logLine(message: string, format: 'text' | 'json', now: Date): string {
  const time = `${now.toISOString().slice(0, 19)}Z`;
  if (format === 'json') return `${JSON.stringify({ level: 'error', msg: message, time })}\n`;
  return `time="${time}" level=error msg=${JSON.stringify(message)}\n`;
}

/**
 * Tells why a command failed: on stderr for people, in the file of --log for the program that
 * called. A log that cannot be written is told on stderr as well.
 */
export function tellFailure(
  message: string,
  globals: Pick<Globals, 'log' | 'logFormat'> | undefined,
  stderr: { write(text: string): unknown },
): void {
  const now = new Date();
  stderr.write(logLine(message, 'text', now));
  if (globals?.log === undefined) return;
  try {
    appendFileSync(globals.log, logLine(message, globals.logFormat, now));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    stderr.write(logLine(`--log: ${reason}`, 'text', now));
  }
}
