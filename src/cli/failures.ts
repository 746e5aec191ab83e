import { BridgeError, GuestError } from '../client/errors.ts';
import { ManagementConnectionError, ManagementRequestError } from '../client/management/errors.ts';
import { ImageError } from '../image/errors.ts';
import { VmError } from '../vm/errors.ts';
import {
  CliError,
  EXIT_FAILED,
  EXIT_NOT_EXECUTABLE,
  EXIT_NOT_FOUND,
  EXIT_USAGE,
  Interrupted,
  ReaderGone,
  UsageError,
} from './exit-codes.ts';

/** What is told to the user of a failure, and the exit code. */
export interface ToldFailure {
  readonly exitCode: number;
  readonly text: string;
}

/** Undefined for an error that is a fault of gcsctl itself and wants its stack. */
export function tellFailure(error: unknown, command: string): ToldFailure | undefined {
  if (error instanceof UsageError) {
    const text = `gcsctl ${command}: ${error.message}\nSee "gcsctl ${command} --help".`;
    return { exitCode: EXIT_USAGE, text };
  }
  if (error instanceof CliError || error instanceof Interrupted) {
    return { exitCode: error.exitCode, text: `gcsctl: ${error.message}` };
  }
  if (error instanceof GuestError) {
    const number = `${error.hresultName}, 0x${error.hresult.toString(16).padStart(8, '0')}`;
    const text = `gcsctl: the guest refused ${error.request}: ${error.message} (${number})`;
    return { exitCode: exitCodeOfRefusal(error), text };
  }
  if (error instanceof ReaderGone) return { exitCode: error.exitCode, text: '' };
  if (error instanceof ManagementRequestError) {
    return { exitCode: exitCodeOfRefusal(error), text: `gcsctl: ${refusal(error)}` };
  }
  if (error instanceof ManagementConnectionError) {
    return { exitCode: EXIT_FAILED, text: `gcsctl: the agent: ${error.message}` };
  }
  if (error instanceof VmError || error instanceof ImageError) {
    return { exitCode: EXIT_FAILED, text: `gcsctl: ${error.message}` };
  }
  if (error instanceof BridgeError)
    return { exitCode: EXIT_FAILED, text: `gcsctl: ${error.message}` };
  if (error instanceof SuppressedError) return tellSuppressed(error, command);
  if (error instanceof Error && typeof (error as { code?: unknown }).code === 'string') {
    return { exitCode: EXIT_FAILED, text: `gcsctl: ${error.message}` };
  }
  return undefined;
}

// The first failure is what the user has to know; the clean-up's comes after it.
function tellSuppressed(error: SuppressedError, command: string): ToldFailure | undefined {
  const first = tellFailure(error.suppressed, command);
  const second = tellFailure(error.error, command);
  if (first === undefined || second === undefined) return first ?? second;
  return { exitCode: first.exitCode, text: `${first.text}\n${second.text}` };
}

/** What to do about it comes with it, where there is something. */
function refusal({ message, data }: ManagementRequestError): string {
  const id = data.containerId ?? 'ID';
  switch (data.code) {
    case 'container-not-stopped':
      return `${id} runs: end it with "gcsctl stop ${id}", or remove it with --force`;
    case 'container-paused':
      return `${id} is paused: "gcsctl resume ${id}" first`;
    case 'container-exists':
      return `${message}: "gcsctl rm" removes it, --name gives another id`;
    default:
      return message;
  }
}

/**
 * Runtimes tell only in words that the program is missing or cannot be executed; engines give
 * these two exit codes of their own, and scripts rely on them.
 */
function exitCodeOfRefusal(error: Error): number {
  const text = error.message;
  if (!/exec: "|executable|fork\/exec/.test(text)) return EXIT_FAILED;
  if (/executable file .*not found|no such file or directory/i.test(text)) return EXIT_NOT_FOUND;
  if (/permission denied|exec format error|is a directory/i.test(text)) return EXIT_NOT_EXECUTABLE;
  return EXIT_FAILED;
}
