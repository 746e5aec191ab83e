import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { acceptOnce } from '../vsock/accept-once.ts';
import { BRIDGE_PORT } from '../vsock/ports.ts';
import { CliError } from './exit-codes.ts';
import { agentProgram } from './installation.ts';
import type { Io } from './io.ts';

/** Milliseconds an agent is given to end by itself before it is killed. */
const END_GRACE_MS = 3000;
const LOG_TAIL_LINES = 15;
const SETPRIV = '/usr/bin/setpriv';
const LOG_FILE = 'agent.log';
const STATE_DIRECTORY = 'state';

export interface PrivateAgentOptions {
  readonly runtime?: string | undefined;
  readonly logLevel?: string | undefined;
}

/** Milliseconds an agent that is to clean up after another may take until it dials. */
const FOLLOW_MS = 30_000;

/**
 * An agent that lives as long as one gcsctl command, in a directory of its own. One that has died
 * is started once more at the end, for what it left: it finds that in its state directory.
 */
export class PrivateAgent implements AsyncDisposable {
  /** PATH of its hybrid:PATH. */
  readonly path: string;
  readonly #directory: string;
  readonly #program: string;
  #options: PrivateAgentOptions = {};
  #agent: Running | undefined;
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
    this.#options = options;
    this.#agent = this.#spawn();
    void this.#agent.ended.then((how) => this.#end.resolve(how));
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
    try {
      const agent = this.#agent;
      if (agent === undefined) return;
      // One that was killed just now may still look as if it ran.
      if (agent.running) await agent.end();
      if (agent.died) await this.#cleanUpAfter();
    } finally {
      await rm(this.#directory, { recursive: true, force: true });
    }
  }

  /** It has read what was left, and holds it, once it dials. */
  async #cleanUpAfter(): Promise<void> {
    if (!existsSync(join(this.#directory, STATE_DIRECTORY))) return; // It had nothing yet.
    const { EmulatedHost } = await import('../vsock/emulator/host.ts');
    await using host = new EmulatedHost(this.path);
    const listener = await host.listen(BRIDGE_PORT);
    const next = this.#spawn();
    try {
      const signal = AbortSignal.timeout(FOLLOW_MS);
      const early = next.ended.then((how) => {
        throw new CliError(`the agent that was to clean up ${how}`);
      });
      const dialed = await Promise.race([acceptOnce(listener, { signal }), early]);
      dialed.close();
    } finally {
      if (next.running) await next.end();
    }
  }

  #spawn(): Running {
    const logFile = join(this.#directory, LOG_FILE);
    return new Running(spawnAgent(this.#program, this.path, logFile, this.#options));
  }

  async #logTail(): Promise<string> {
    const log = await readFile(join(this.#directory, LOG_FILE), 'utf8');
    return log.trimEnd().split('\n').slice(-LOG_TAIL_LINES).join('\n');
  }
}

class Running {
  /** How it ended, in words. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    const { promise, resolve } = Promise.withResolvers<string>();
    child.once('error', (error) => resolve(`could not be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      resolve(signal === null ? `ended with exit code ${code}` : `ended by ${signal}`);
    });
    this.ended = promise;
  }

  get running(): boolean {
    const { pid, exitCode, signalCode } = this.#child;
    return pid !== undefined && exitCode === null && signalCode === null;
  }

  /** It ran, and did not end by itself in good order. */
  get died(): boolean {
    const { pid, exitCode } = this.#child;
    return pid !== undefined && exitCode !== 0;
  }

  /** By SIGTERM, upon which it ends its containers; by SIGKILL when it takes too long. */
  async end(): Promise<void> {
    this.#child.kill('SIGTERM');
    const force = setTimeout(() => this.#child.kill('SIGKILL'), END_GRACE_MS);
    await this.ended;
    clearTimeout(force);
  }
}

function spawnAgent(
  program: string,
  path: string,
  logFile: string,
  options: PrivateAgentOptions,
): ChildProcess {
  const args = [program, '-v4', '-transport', `hybrid:${path}`];
  // In its own directory: the machine may have another agent. Who follows it is started by us alone.
  args.push('-state-dir', join(dirname(path), STATE_DIRECTORY));
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
