import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type AwaitedFile, tryAwaitRemoval } from '../../os/completed-file.ts';
import { hasCode } from '../../os/errors.ts';
import { faultPoint } from '../../os/fault-point.ts';
import type { Child, ExitStatus } from '../../os/process.ts';
import type { Reaper } from '../../os/reaper.ts';
import type { ContainerId } from '../runtime.ts';
import { untilDone, untilEnded } from './cancel.ts';
import { ErrorLog, errorsInLog, lastLine } from './error-log.ts';
import { commandError } from './errors.ts';
import type { RuntimeProgram } from './program.ts';
import { ScratchFile } from './scratch-file.ts';

/** More than any container list or resources a runtime prints. */
const outputLimit = 16 * 1024 * 1024;
const stderrLimit = 64 * 1024;

export interface Command {
  /** The sub-command, e.g. "kill". */
  operation: string;
  /** What follows it. */
  args: readonly string[];
  id?: ContainerId;
  /** Bundle of the container, where the runtime's log is. */
  bundle?: string;
  /** Text for its stdin; else /dev/null. */
  input?: string;
  /** Return what it prints. */
  output?: boolean;
  /** Aborted: the command is killed after a grace time, and has failed. */
  signal?: AbortSignal;
  /** When this file has come or gone, all that can fail is done: see `untilDone`. */
  done?: AwaitedFile | undefined;
}

/** Runs the OCI runtime's program. */
export class RuntimeCommands {
  readonly #reaper: Reaper;
  readonly #program: RuntimeProgram;
  /** The runtime's own state, `--root`; undefined: where it keeps it by default. */
  readonly #stateRoot: string | undefined;
  readonly #systemdCgroup: boolean;
  /** Where scratch files are made. */
  readonly #scratch: string;

  constructor(options: {
    reaper: Reaper;
    program: RuntimeProgram;
    stateRoot: string | undefined;
    systemdCgroup?: boolean;
    scratch: string;
  }) {
    this.#reaper = options.reaper;
    this.#program = options.program;
    this.#stateRoot = options.stateRoot;
    this.#systemdCgroup = options.systemdCgroup ?? false;
    this.#scratch = options.scratch;
  }

  /** Name for error texts. */
  get programName(): string {
    return this.#program.shortName;
  }

  /**
   * Whether the pid file is the last thing that can fail in `create` and `exec`. It is in runc; of
   * other runtimes nobody knows.
   */
  get endsWithPidFile(): boolean {
    return this.#program.shortName === 'runc';
  }

  /**
   * The removal of the fifo that init waits on is the last thing runc does in `start`, unless there
   * are hooks to run behind it. Undefined for other runtimes.
   */
  awaitStart(id: ContainerId): AwaitedFile | undefined {
    if (this.#program.shortName !== 'runc') return undefined;
    return tryAwaitRemoval(join(this.#stateRoot ?? '/run/runc', id), 'exec.fifo');
  }

  /**
   * Starts the program. `stdio`: its descriptors 0 to 2. Throws RuntimeError 'unavailable' when
   * it cannot be run.
   */
  spawn(
    operation: string,
    args: readonly string[],
    stdio: readonly (number | null)[],
    log?: string,
  ): Child {
    const argv = [
      this.#program.shortName,
      ...(log === undefined ? [] : ['--log', log]),
      '--log-format',
      'json',
      ...(this.#stateRoot === undefined ? [] : ['--root', this.#stateRoot]),
      ...(this.#systemdCgroup ? ['--systemd-cgroup'] : []),
      operation,
      ...args,
    ];
    return this.spawnRaw(operation, argv, stdio);
  }

  /** Starts the program with exactly this argv. */
  spawnRaw(operation: string, argv: readonly string[], stdio: readonly (number | null)[]): Child {
    try {
      return this.#spawnOnce(operation, argv, stdio);
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw this.#cannotRun(operation, error);
    }
    this.#program.forget(); // An upgrade may have moved it.
    try {
      return this.#spawnOnce(operation, argv, stdio);
    } catch (error) {
      throw this.#cannotRun(operation, error);
    }
  }

  #spawnOnce(operation: string, args: readonly string[], stdio: readonly (number | null)[]): Child {
    // Only PATH, which runtimes look up hooks and helpers in: what else is in the agent's
    // environment (a notify socket, Go's debug switches) must not change what a runtime does.
    const env = [`PATH=${process.env.PATH ?? ''}`, 'LC_ALL=C'];
    const child = this.#reaper.spawn({ file: this.#program.path(operation), args, env, stdio });
    faultPoint(`${operation} under way`);
    return child;
  }

  #cannotRun(operation: string, error: unknown): unknown {
    for (const code of ['ENOENT', 'EACCES', 'ENOEXEC', 'EISDIR']) {
      if (hasCode(error, code)) return this.#program.unavailable(operation, code, error);
    }
    return error;
  }

  /** Runs a command to its end and returns what it printed. Throws RuntimeError when it fails. */
  async run(command: Command): Promise<string> {
    using stdin =
      command.input === undefined ? undefined : ScratchFile.holding(this.#scratch, command.input);
    using stdout = command.output === true ? new ScratchFile(this.#scratch) : undefined;
    using stderr = new ScratchFile(this.#scratch);
    const log = this.logIn(command.bundle);
    const child = this.spawn(
      command.operation,
      command.args,
      [stdin?.fd ?? null, stdout?.fd ?? null, stderr.fd],
      log?.path,
    );
    const ended = untilEnded(this.#reaper, child, command.signal);
    const { status } = await untilDone(ended, command.done);
    faultPoint(`${command.operation} done`);
    if (!succeeded(status)) throw this.#failure(command, status, stderr, log);
    return stdout === undefined ? '' : wholeOutput(command, stdout);
  }

  /** What `--version` prints. */
  async version(): Promise<string> {
    using stdout = new ScratchFile(this.#scratch);
    const argv = [this.#program.shortName, '--version'];
    const child = this.spawnRaw('version', argv, [null, stdout.fd, null]);
    const status = await child.exited;
    if (succeeded(status)) return stdout.tail(stderrLimit);
    throw commandError({
      program: this.programName,
      operation: 'version',
      id: undefined,
      status,
      text: undefined,
    });
  }

  /** The log in a bundle; none when the bundle is gone, which a runtime would fail for. */
  logIn(bundle: string | undefined): ErrorLog | undefined {
    if (bundle === undefined) return undefined;
    const log = new ErrorLog(this.logPath(bundle));
    return log.exists || existsSync(bundle) ? log : undefined;
  }

  /** Where commands of a bundle's container log to. */
  logPath(bundle: string): string {
    return join(bundle, 'runc.log');
  }

  #failure(
    command: Command,
    status: ExitStatus,
    stderr: ScratchFile,
    log: ErrorLog | undefined,
  ): Error {
    // stderr is this command's alone; the log is shared with what runs beside it.
    const said = stderr.tail(stderrLimit);
    return commandError({
      program: this.programName,
      operation: command.operation,
      id: command.id,
      status,
      text: errorsInLog(said).at(-1) ?? lastLine(said) ?? log?.lastError(''),
    });
  }
}

export function succeeded(status: ExitStatus): boolean {
  return status.kind === 'exited' && status.code === 0;
}

function wholeOutput(command: Command, stdout: ScratchFile): string {
  if (stdout.size > outputLimit) {
    throw new Error(`${command.operation}: ${stdout.size} bytes of output, at most ${outputLimit}`);
  }
  return stdout.tail(outputLimit);
}
