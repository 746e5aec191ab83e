import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import type { Fd } from '../../os/fd.ts';
import { untilReady } from '../../os/poll.ts';
import { processStartTime } from '../../os/process.ts';
import { openPty } from '../../os/pty.ts';
import { connectUnix, sendFds } from '../../os/socket.ts';
import { spawnProcess } from '../../os/spawn.ts';
import { OciError } from '../failure.ts';
import { readJsonLine, writeJsonLine } from '../json-line.ts';
import type { StandInPlan, StandInReport } from './plan.ts';

export interface LaunchOptions {
  readonly plan: StandInPlan;
  /** Directory for the socket on which it reports. */
  readonly directory: string;
  /** Unix socket that takes the master of the terminal (`--console-socket`). */
  readonly consoleSocket: string | undefined;
}

export interface StandIn {
  readonly pid: number;
  readonly startTime: number;
}

/**
 * Starts the process that stands for a container's process on this side: whoever called us waits
 * for it, as for a process of a runtime that it could see, and gets its exit code. It outlives this
 * command and falls to the caller, who is child subreaper as conmon is, or to PID 1. Resolves when
 * the container's process is made.
 */
export async function launchStandIn(options: LaunchOptions): Promise<StandIn> {
  const socketPath = join(options.directory, `r${process.pid}`);
  const server = createServer();
  server.listen(socketPath);
  await once(server, 'listening');
  try {
    const { pid, pidfd } = await spawn(socketPath, options.consoleSocket);
    using _pidfd = pidfd;
    const startTime = processStartTime(pid);
    const report = await reportOf(server, pidfd, options.plan);
    if ('error' in report) throw new OciError(report.error);
    if (startTime === undefined) throw new OciError(`process ${pid} ended at once`);
    return { pid, startTime };
  } finally {
    server.close();
    rmSync(socketPath, { force: true });
  }
}

async function spawn(
  socketPath: string,
  consoleSocket: string | undefined,
): Promise<{ pid: number; pidfd: Fd }> {
  const [, program = ''] = process.argv;
  const args = [
    process.execPath,
    join(dirname(program), 'start.cjs'),
    'gcs-oci',
    'stand-in',
    socketPath,
  ];
  const env = Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ''}`);
  const common = { file: process.execPath, args, env, newSession: true };
  if (consoleSocket === undefined) return spawnProcess({ ...common, stdio: [0, 1, 2] });
  const { master, path } = openPty();
  using _master = master;
  using socket = await connectUnix(consoleSocket);
  // The message is the name of the terminal, as runc sends it.
  sendFds(socket, Buffer.from(path), [master]);
  return spawnProcess({ ...common, stdio: [null, null, null], terminal: path });
}

/** What it says, or that it ended without a word. */
async function reportOf(server: Server, pidfd: Fd, plan: StandInPlan): Promise<StandInReport> {
  const abort = new AbortController();
  const ended = untilReady(pidfd.raw, { read: true }, { signal: abort.signal }).then(
    (): StandInReport => ({ error: 'the process that stands for it ended without a word' }),
  );
  const told = once(server, 'connection', { signal: abort.signal }).then(
    async ([socket]: Socket[]): Promise<StandInReport> => {
      if (socket === undefined) throw new Error('a connection without a socket');
      writeJsonLine(socket, plan);
      const report = (await readJsonLine(socket)) as StandInReport | undefined;
      socket.destroy();
      return report ?? ended;
    },
  );
  try {
    return await Promise.race([told, ended]);
  } finally {
    abort.abort();
    ended.catch(ignoreAbort);
    told.catch(ignoreAbort);
  }
}

/** Of the two only one is waited for to its end. */
function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error && error.name === 'AbortError')) throw error;
}
