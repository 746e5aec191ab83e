import { constants } from 'node:os';
import { tryAwaitFile } from '../../os/completed-file.ts';
import { faultPoint } from '../../os/fault-point.ts';
import type { Fd } from '../../os/fd.ts';
import type { Child } from '../../os/process.ts';
import type { Reaper } from '../../os/reaper.ts';
import type { ContainerId, ProcessStdio } from '../runtime.ts';
import type { ProcessDirectory } from './bookkeeping.ts';
import { type CommandEnd, untilDone, untilEnded } from './cancel.ts';
import { type RuntimeCommands, succeeded } from './commands.ts';
import { ConsoleSocket } from './console-socket.ts';
import type { ErrorLog } from './error-log.ts';
import { commandError } from './errors.ts';
import { RuncProcess } from './process.ts';

const { signals } = constants;

export interface Launch {
  operation: 'create' | 'restore' | 'exec';
  id: ContainerId;
  /** Options of the sub-command besides the pid file, the console socket and the id. */
  options: readonly string[];
  stdio: ProcessStdio;
  directory: ProcessDirectory;
  /** For `--log`. */
  log: ErrorLog;
  signal: AbortSignal | undefined;
  /** What a message of this command begins with in the log. */
  errorPrefix: string;
  /** Adds what we know to the runtime's error. */
  remark?: (text: string | undefined, end: CommandEnd) => string | undefined;
  /** Called when there may be something to undo: unless the runtime itself says it failed. */
  onMade?: (end: CommandEnd) => void;
}

/**
 * Runs `create` or `exec` and takes over the process it leaves behind. The process is ours from
 * the moment it is forked (the hold keeps even one that has ended from being collected), so its
 * status is exact whenever it ends.
 */
export async function launch(
  reaper: Reaper,
  commands: RuntimeCommands,
  plan: Launch,
): Promise<RuncProcess> {
  const { operation, id, directory, log } = plan;
  using socket = plan.stdio.kind === 'terminal' ? new ConsoleSocket(directory.path) : undefined;
  using _hold = reaper.hold();
  // A restore goes on after it.
  using pidFile =
    commands.endsWithPidFile && operation !== 'restore'
      ? tryAwaitFile(directory.path, directory.pidFileName)
      : undefined;
  const command = commands.spawn(
    operation,
    [
      ...plan.options,
      '--pid-file',
      directory.pidFile,
      ...(socket === undefined ? [] : ['--console-socket', socket.path]),
      '--', // An id may begin with a dash.
      id,
    ],
    descriptorsOf(plan.stdio),
    log.path,
  );
  const end = await untilDone(untilEnded(reaper, command, plan.signal), pidFile);
  if (succeeded(end.status) || end.status.kind === 'signaled') plan.onMade?.(end);
  if (!succeeded(end.status)) {
    plan.signal?.throwIfAborted();
    const text = log.lastError(plan.errorPrefix);
    throw commandError({
      program: commands.programName,
      operation,
      id,
      status: end.status,
      text,
      remark: plan.remark?.(text, end),
    });
  }
  faultPoint(`${operation} done`);
  return takeOver(reaper.adopt(directory.readPid()), socket, plan.signal);
}

/** The runtime hands its own descriptors 0 to 2 on to the process. */
function descriptorsOf(stdio: ProcessStdio): (number | null)[] {
  if (stdio.kind === 'terminal') return [null, null, null];
  return [stdio.stdin, stdio.stdout, stdio.stderr].map((fd) => fd?.raw ?? null);
}

async function takeOver(
  child: Child,
  socket: ConsoleSocket | undefined,
  signal: AbortSignal | undefined,
): Promise<RuncProcess> {
  let terminal: Fd | undefined;
  try {
    terminal = await socket?.master();
    signal?.throwIfAborted();
    return new RuncProcess(child, terminal);
  } catch (error) {
    terminal?.close();
    child.signal(signals.SIGKILL);
    await child.exited;
    throw error;
  }
}
