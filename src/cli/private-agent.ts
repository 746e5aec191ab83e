import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CliError } from './exit-codes.ts';
import { agentProgram } from './installation.ts';
import type { Io } from './io.ts';

/** Milliseconds an agent is given to end by itself before it is killed. */
const END_GRACE_MS = 3000;
const LOG_TAIL_LINES = 15;
const SETPRIV = '/usr/bin/setpriv';
const LOG_FILE = 'agent.log';

export interface PrivateAgentOptions {
  readonly runtime?: string | undefined;
  readonly logLevel?: string | undefined;
}

/** An agent that lives as long as one gcsctl command, in a directory of its own. */
export class PrivateAgent implements AsyncDisposable {
  /** PATH of its hybrid:PATH. */
  readonly path: string;
  readonly #directory: string;
  readonly #program: string;
  #child: ChildProcess | undefined;
  /** How it ended; never settles before it was started. */
  readonly #end = Promise.withResolvers<string>();

  private constructor(directory: string, program: string) {
    this.#directory = directory;
    this.#program = program;
    this.path = join(directory, 'vsock');
  }

  /** Makes its directory. Nothing runs yet, so that the caller can listen before the agent dials. */
  static async prepare(io: Io): Promise<PrivateAgent> {
    if (process.getuid?.() !== 0) {
      throw new CliError(
        'a private agent makes containers and needs root: run it with sudo, or give --host PATH of a standing agent',
      );
    }
    const program = agentProgram(io.env);
    return new PrivateAgent(await mkdtemp(join(tmpdir(), 'gcsctl-')), program);
  }

  /** Starts it. That it cannot be started, or ends, is told by orEnd(). */
  start(options: PrivateAgentOptions): void {
    const logFile = join(this.#directory, LOG_FILE);
    const child = spawnAgent(this.#program, this.path, logFile, options);
    child.once('error', (error) => this.#end.resolve(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      this.#end.resolve(signal === null ? `ended with exit code ${code}` : `ended by ${signal}`);
    });
    this.#child = child;
  }

  /** The same outcome as `work`; a CliError with the end of the agent's log when the agent ends first. */
  async orEnd<T>(work: Promise<T>): Promise<T> {
    const ended = this.#end.promise.then(async (how) => {
      const tail = await this.#logTail();
      const log = tail === '' ? 'It logged nothing.' : `The end of its log:\n${tail}`;
      throw new CliError(`the agent ${this.#program} ${how}. ${log}`);
    });
    return Promise.race([work, ended]);
  }

  /** Ends the agent, politely first, and removes its directory. */
  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child?.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const force = setTimeout(() => child.kill('SIGKILL'), END_GRACE_MS);
      await this.#end.promise;
      clearTimeout(force);
    }
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #logTail(): Promise<string> {
    const log = await readFile(join(this.#directory, LOG_FILE), 'utf8');
    return log.trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  }
}

function spawnAgent(
  program: string,
  path: string,
  logFile: string,
  options: PrivateAgentOptions,
): ChildProcess {
  const args = [program, '-v4', '-transport', `hybrid:${path}`];
  // Nobody follows it, and it follows nobody: the machine may have an agent of its own.
  args.push('-state-dir', 'off');
  args.push('-loglevel', options.logLevel ?? 'info', '-logfile', logFile);
  if (options.runtime !== undefined) args.push('-runtime', options.runtime);
  // What the agent writes before its log is open (a launcher that fails) joins the log.
  const log = openSync(logFile, 'a', 0o600);
  try {
    // The agent must not outlive a gcsctl that is killed, so the kernel tells it (prctl(2),
    // PR_SET_PDEATHSIG). setpriv(1) is part of every Debian; without it only that is lost.
    const bound = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'TERM', '--', ...args] : args;
    const [file = program, ...rest] = bound;
    // A session of its own: Ctrl-C in the terminal is for gcsctl and the container, not for it.
    return spawn(file, rest, { detached: true, cwd: '/', stdio: ['ignore', log, log] });
  } finally {
    closeSync(log);
  }
}
