import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { VmDirectory } from './directory.ts';
import { VmError } from './errors.ts';
import type { StartPhase, SupervisorPlan } from './supervisor.ts';

/** A line of the supervisor: a phase was reached. */
export interface PhaseReport {
  readonly phase: StartPhase;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

const LOG_TAIL_LINES = 12;

/**
 * The supervisor of a VM that is being started: it lives as long as this process, until detach().
 * Should this process die before, the VM ends.
 */
export class StartingVm extends EventEmitter<{ phase: [PhaseReport] }> implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #directory: VmDirectory;
  readonly #ended: Promise<string>;
  #detached = false;

  /** `command`: the program that calls serveSupervisor(). */
  constructor(command: readonly string[], directory: VmDirectory, plan: SupervisorPlan) {
    super();
    this.#directory = directory;
    const [file = '', ...args] = command;
    const log = openSync(directory.supervisorLog, 'a', 0o600);
    try {
      // A session of its own: the terminal's signals are for us, and its end is not the VM's.
      this.#child = spawn(file, args, { detached: true, cwd: '/', stdio: ['pipe', 'pipe', log] });
    } finally {
      closeSync(log);
    }
    this.#child.stdin?.on('error', () => {});
    this.#child.stdin?.write(`${JSON.stringify(plan)}\n`);
    this.#ended = once(this.#child, 'close').then(([code, signal]) => String(signal ?? code));
    this.#ended.catch(() => {});
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout })
        .on('line', (line) => this.emit('phase', JSON.parse(line) as PhaseReport))
        .on('error', () => {}); // Its end is told by the process itself.
    }
  }

  /** The outcome of `work`; VmError 'ended' with the ends of the logs when the VM ends first. */
  async orEnd<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    const ended = this.#ended.then(() => {
      throw new VmError('ended', this.#explanation());
    });
    return Promise.race([work, ended]);
  }

  /** From now on it is on its own. */
  detach(): void {
    this.#detached = true;
    this.#child.stdin?.end('detach\n');
    this.#child.stdout?.destroy();
    this.#child.unref();
  }

  /** Ends it, unless it was detached. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#detached) return;
    this.#child.stdin?.end();
    await this.#ended;
  }

  /** Ends of the logs, for a person who wonders why it does not come up. */
  logTails(): string {
    return [this.#directory.consoleLog, this.#directory.supervisorLog].map(tail).join('');
  }

  #explanation(): string {
    const reason = this.#directory.state()?.ended ?? 'its supervisor died';
    return `the VM ended while it started: ${reason}${this.logTails()}`;
  }
}

function tail(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'latin1').trimEnd();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
  if (text === '') return '';
  return `\nThe end of ${file}:\n${text.split('\n').slice(-LOG_TAIL_LINES).join('\n')}`;
}
