import type { Readable, Writable } from 'node:stream';

/** What a command may touch of its own process, so that a test can put something else there. */
export interface Io {
  readonly stdin: Readable & { isTTY?: boolean };
  readonly stdout: Writable & TerminalOutput;
  readonly stderr: Writable & TerminalOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

interface TerminalOutput {
  isTTY?: boolean;
  columns?: number;
  rows?: number;
}

/** The streams and surroundings of this process. */
export function processIo(): Io {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd: process.cwd(),
  };
}
