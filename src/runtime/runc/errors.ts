import type { ExitStatus } from '../../os/process.ts';
import { signalName } from '../../os/signals.ts';
import { type ContainerId, RuntimeError, type RuntimeErrorCode } from '../runtime.ts';

/**
 * What runc 1.1 and crun 1.x say, matched as a whole: parts of a message can come from the host
 * (a path, an argument), and those must not choose the code.
 */
const codeByText: readonly (readonly [RegExp, RuntimeErrorCode])[] = [
  [/^container (".*" )?does not exist$/, 'not-found'],
  [
    /^(error opening file|cannot open directory) [`'].*[`']: No such file or directory$/,
    'not-found',
  ],
  [/^container with (given ID already exists|id exists: .*)$/, 'already-exists'],
  [/^container [`'].*[`'] already exists$/, 'already-exists'],
  [/^invalid (container ID|id) format(: .*)?$/, 'invalid-id'],
  [/^container id cannot be empty$/, 'invalid-id'],
  [/^cannot delete container .* that is not stopped: \w+$/, 'not-stopped'],
  [/^the container [`'].*[`'] is not in [`']created[`'] or [`']stopped[`'] state$/, 'not-stopped'],
  [/^container (is )?still running$/, 'still-running'],
  [/^container is running$/, 'still-running'],
  [/^container (is )?not running$/, 'not-running'],
  [/^the container [`'].*[`'] is not running$/, 'not-running'],
  [/^container [`'].*[`'] is not running$/, 'not-running'],
  [/^cannot exec in a stopped container$/, 'not-running'],
  [/^cannot start a container that has stopped$/, 'not-running'],
  [/^cannot signal .*: No such process$/i, 'not-running'],
  [/^(.*: )?(os: )?process already finished$/, 'not-running'],
  [/^setns\(pid=\d+, \w+\): No such process$/, 'not-running'],
  [/^cannot start an already running container$/, 'already-running'],
  [/^cannot open [`'].*\/exec\.fifo[`']: No such file or directory$/, 'already-running'],
];

/** What runc puts before the reason. */
const context = /^(runc (create|run|exec) failed|exec failed): /;

/** The code for a runtime's own error text. */
export function codeOfText(text: string): RuntimeErrorCode {
  const reason = text.replace(context, '');
  return codeByText.find(([pattern]) => pattern.test(reason))?.[1] ?? 'other';
}

/** "exit status 1" or "signal SIGKILL". */
export function describeStatus(status: ExitStatus): string {
  switch (status.kind) {
    case 'exited':
      return `exit status ${status.code}`;
    case 'signaled':
      return `signal ${signalName(status.signal)}`;
  }
}

export interface CommandFailure {
  /** Last component of the runtime's name. */
  program: string;
  /** The runtime's sub-command. */
  operation: string;
  id: ContainerId | undefined;
  status: ExitStatus;
  /** The runtime's own last error, when it said something. */
  text: string | undefined;
  /** What we know beyond that, in parentheses at the end. */
  remark?: string | undefined;
}

/** The error of a command that did not succeed, in the texts that hosts know from the Go agent. */
export function commandError(failure: CommandFailure): RuntimeError {
  const { program, operation, id, status, text, remark } = failure;
  const ended = describeStatus(status);
  const what =
    operation === 'create' || operation === 'exec'
      ? `failed to run ${program} create/exec call for container ${id} with ${ended}`
      : `${program} ${operation} failed with ${ended}`;
  const message = `${what}${text === undefined ? '' : `: ${text}`}${remark === undefined ? '' : ` (${remark})`}`;
  return new RuntimeError(text === undefined ? 'other' : codeOfText(text), message, {
    operation,
    ...(id !== undefined && { containerId: id }),
    exitStatus: status,
    ...(text !== undefined && { runtimeMessage: text }),
  });
}
