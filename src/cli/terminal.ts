import { borrowTerminal } from '../os/raw-terminal.ts';
import { CliError } from './exit-codes.ts';
import type { Io } from './io.ts';

export interface TerminalSize {
  width: number;
  height: number;
}

/** Size of the terminal behind stdout or stderr, undefined when neither is one. */
export function terminalSize(io: Io): TerminalSize | undefined {
  for (const stream of [io.stdout, io.stderr]) {
    const { columns, rows } = stream;
    if (stream.isTTY === true && columns !== undefined && rows !== undefined) {
      return { width: columns, height: rows };
    }
  }
  return undefined;
}

/** Calls `resized` at every change of the window's size until disposed of. */
export function watchTerminalSize(io: Io, resized: (size: TerminalSize) => void): Disposable {
  const stream = [io.stdout, io.stderr].find((candidate) => candidate.isTTY === true);
  const listener = (): void => {
    const size = terminalSize(io);
    if (size !== undefined) resized(size);
  };
  stream?.on('resize', listener);
  return { [Symbol.dispose]: () => void stream?.off('resize', listener) };
}

/**
 * Raw mode for the terminal behind stdin: every key goes to the guest, also Ctrl-C, and output
 * reaches the screen as it comes. Left again on disposal and, should the process end on the way,
 * at its exit.
 */
export function rawMode(io: Io): Disposable {
  if (io.stdin.isTTY !== true) return { [Symbol.dispose]: () => {} };
  const giveBack = told(borrowTerminal);
  const restore = (): void => {
    process.off('exit', restore);
    told(giveBack);
  };
  process.on('exit', restore);
  return { [Symbol.dispose]: restore };
}

function told<Result>(change: () => Result): Result {
  try {
    return change();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(`cannot set up the terminal: ${reason}`, { cause });
  }
}
