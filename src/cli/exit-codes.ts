/** Exit codes of gcsctl itself; a command that runs a process exits with that process's code. */
export const EXIT_OK = 0;
/** The command line is wrong; nothing was done. */
export const EXIT_USAGE = 2;
/** gcsctl, the agent or the connection between them failed; what docker and podman use too. */
export const EXIT_FAILED = 125;
/** The program was found and cannot be executed. */
export const EXIT_NOT_EXECUTABLE = 126;
/** The program was not found. */
export const EXIT_NOT_FOUND = 127;

/** The shell's convention for an end by signal. */
export function exitCodeOfSignal(signal: number): number {
  return 128 + signal;
}

/** The command line is not one this command takes. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A failure with its exit code and a remedy, shown without a stack. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: number;

  constructor(message: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode ?? EXIT_FAILED;
  }
}

/** A signal ended gcsctl before a process of the guest could receive it. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly exitCode: number;

  constructor(signalName: string, signal: number) {
    super(`interrupted by ${signalName}`);
    this.exitCode = exitCodeOfSignal(signal);
  }
}

/** Whoever read our output has gone: nothing is left to do, and nobody to tell. */
export class ReaderGone extends Error {
  override readonly name = 'ReaderGone';
  /** As for one that SIGPIPE has ended. */
  readonly exitCode = exitCodeOfSignal(13);

  constructor() {
    super('nobody reads the output any more');
  }
}
