import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { type Cgroup, type Membership, ownCgroup } from '../../cgroup/hierarchy.ts';
import { killAll, listProcesses } from '../../cgroup/processes.ts';
import { stringifyJson } from '../../json.ts';
import { within } from '../../os/timer.ts';
import type { OciLinuxResources } from '../../spec/oci.ts';
import {
  type CheckpointOptions,
  type ContainerId,
  type ExecOptions,
  type Runtime,
  type RuntimeContainer,
  type RuntimeContainerState,
  RuntimeError,
  type RuntimeProcessInfo,
} from '../runtime.ts';
import type { ProcessDirectory } from './bookkeeping.ts';
import { cancelGraceMs } from './cancel.ts';
import type { Command } from './commands.ts';
import { checkpointArgs } from './criu.ts';
import { ErrorLog } from './error-log.ts';
import { launch } from './launch.ts';
import { parsePids, parseState } from './output.ts';
import type { RuncProcess } from './process.ts';
import { describeProcesses } from './process-list.ts';
import type { RuncServices } from './services.ts';
import { requireCriu } from './support.ts';

const { signals } = constants;

/** A killed process that does not end within this time is stuck in the kernel. */
const remnantsLimitMs = 10_000;

export interface RuncContainerParts {
  readonly id: ContainerId;
  readonly bundle: string;
  readonly init: RuncProcess;
  readonly ownsPidNamespace: boolean;
  /** Default, where nobody knows: true. */
  readonly hasPoststartHooks?: boolean;
  /** Of init, when it was created; undefined when the agent cannot see it. */
  readonly membership: Membership | undefined;
  /** Whether its containers can be checkpointed. */
  readonly runtime?: Pick<Runtime, 'checkpointSupport'>;
  /** Called once, when its state is gone. */
  readonly onDeleted: () => void;
  /** Of a container that an agent before this one made. */
  readonly taken?: { readonly started: boolean; readonly execs: readonly KeptExec[] };
}

/** An exec'd process with the directory that is kept for it. */
export interface KeptExec {
  readonly process: RuncProcess;
  readonly directory: ProcessDirectory;
}

/** A container that an OCI runtime program keeps, with its processes as children of the agent. */
export class RuncContainer implements RuntimeContainer {
  readonly id: ContainerId;
  readonly bundle: string;
  readonly init: RuncProcess;
  readonly ownsPidNamespace: boolean;
  readonly #membership: Membership | undefined;
  readonly #hasPoststartHooks: boolean;
  #cgroup: Cgroup | undefined;
  readonly #services: RuncServices;
  readonly #onDeleted: () => void;
  readonly #runtime: Pick<Runtime, 'checkpointSupport'> | undefined;
  /** Exec'd processes that live, by pid. */
  readonly #execs = new Map<number, RuncProcess>();
  /** Somebody has tried to start it. */
  #started: boolean;
  /** Settles when init has ended and nothing of the container runs any more. */
  readonly #emptied: Promise<void>;

  constructor(services: RuncServices, parts: RuncContainerParts) {
    this.id = parts.id;
    this.bundle = parts.bundle;
    this.init = parts.init;
    this.ownsPidNamespace = parts.ownsPidNamespace;
    this.#hasPoststartHooks = parts.hasPoststartHooks ?? true;
    this.#services = services;
    this.#membership = parts.membership;
    this.#onDeleted = parts.onDeleted;
    this.#runtime = parts.runtime;
    this.#started = parts.taken?.started ?? false;
    for (const exec of parts.taken?.execs ?? []) this.#keep(exec);
    this.#emptied = this.#killWhatOutlivesInit();
  }

  /** Worked out when it is first asked for: creating does not wait for it. */
  get cgroup(): Cgroup | undefined {
    if (this.#membership !== undefined) this.#cgroup ??= ownCgroup(this.#membership);
    return this.#cgroup;
  }

  get membership(): Membership | undefined {
    return this.#membership;
  }

  async start(options: { signal?: AbortSignal } = {}): Promise<void> {
    this.#started = true; // Also when it fails: it may run all the same.
    const { commands } = this.#services;
    using done = this.#hasPoststartHooks ? undefined : commands.awaitStart(this.id);
    await this.#run({ operation: 'start', args: ['--', this.id], ...options, done });
  }

  async exec(options: ExecOptions): Promise<RuncProcess> {
    options.signal?.throwIfAborted();
    const { reaper, commands, bookkeeping } = this.#services;
    const directory = bookkeeping.addProcess(this.id);
    try {
      const terminal = options.stdio.kind === 'terminal';
      writeFileSync(directory.processFile, stringifyJson({ ...options.process, terminal }), {
        mode: 0o600, // The environment may hold secrets.
      });
      const process = await launch(reaper, commands, {
        operation: 'exec',
        id: this.id,
        options: ['--detach', '--process', directory.processFile],
        stdio: options.stdio,
        directory,
        log: commands.logIn(this.bundle) ?? new ErrorLog(`${directory.path}/runc.log`),
        signal: options.signal,
        errorPrefix: 'exec failed',
      });
      try {
        directory.settle(process.pid);
      } catch (error) {
        await discard(process);
        throw error;
      }
      this.#keep({ process, directory });
      return process;
    } catch (error) {
      directory.remove();
      throw this.#explain(error);
    }
  }

  #keep({ process, directory }: KeptExec): void {
    this.#execs.set(process.pid, process);
    void process.exited.then(() => {
      this.#execs.delete(process.pid);
      directory.remove();
    });
  }

  async kill(signal: number, options: { all?: boolean } = {}): Promise<void> {
    if (this.init.status !== undefined) throw this.#notRunning('kill');
    const all = options.all === true ? ['--all'] : [];
    await this.#run({ operation: 'kill', args: [...all, '--', this.id, String(signal)] });
  }

  async pause(): Promise<void> {
    await this.#run({ operation: 'pause', args: ['--', this.id] });
  }

  async resume(): Promise<void> {
    await this.#run({ operation: 'resume', args: ['--', this.id] });
  }

  async checkpoint(options: CheckpointOptions): Promise<void> {
    const { signal } = options;
    if (this.#runtime !== undefined) await requireCriu(this.#runtime, 'checkpoint', this.id);
    await this.#run({
      operation: 'checkpoint',
      args: [...checkpointArgs(options), '--', this.id],
      ...(signal === undefined ? {} : { signal }),
    });
  }

  async state(): Promise<RuntimeContainerState> {
    return parseState(await this.#run({ operation: 'state', args: ['--', this.id], output: true }));
  }

  /**
   * From the container's cgroup, which costs a twentieth of what `ps` of the runtime does; from
   * that one only when the cgroup is unknown.
   */
  async processes(): Promise<RuntimeProcessInfo[]> {
    const pids =
      this.cgroup === undefined ? await this.#listByRuntime() : await listProcesses(this.cgroup);
    return describeProcesses(pids, (pid) => pid === this.init.pid || this.#execs.has(pid));
  }

  async #listByRuntime(): Promise<number[]> {
    const args = ['-f', 'json', '--', this.id];
    return parsePids(await this.#run({ operation: 'ps', args, output: true }));
  }

  async update(resources: OciLinuxResources): Promise<void> {
    await this.#run({
      operation: 'update',
      args: ['--resources', '-', '--', this.id],
      input: stringifyJson(resources),
    });
  }

  async delete(options: { force?: boolean } = {}): Promise<void> {
    const force = options.force === true;
    // The runtime kills init in these cases, but looks only every 100 ms whether it has ended.
    if (force || !this.#started) this.init.signal(signals.SIGKILL);
    else if (this.init.status !== undefined) await this.#emptied;
    try {
      await this.#run({
        operation: 'delete',
        args: [...(force ? ['--force'] : []), '--', this.id],
      });
    } catch (error) {
      // Somebody else has deleted it: what we keep about it is of no use to anyone.
      if (error instanceof RuntimeError && error.code === 'not-found') this.#forget();
      throw error;
    }
    const ends = [this.#emptied, ...[...this.#execs.values()].map((process) => process.exited)];
    await within(cancelGraceMs, Promise.all(ends));
    this.#forget();
  }

  #forget(): void {
    this.#services.bookkeeping.removeContainer(this.id);
    this.#onDeleted();
  }

  async #run(command: Omit<Command, 'id' | 'bundle'>): Promise<string> {
    try {
      return await this.#services.commands.run({ ...command, id: this.id, bundle: this.bundle });
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Runtimes differ in what they say about a container that has ended; we know that it has. */
  #explain(error: unknown): unknown {
    if (!(error instanceof RuntimeError) || this.init.status === undefined) return error;
    if (error.code !== 'other' && error.code !== 'already-running') return error;
    if (error.operation === 'delete' || error.operation === 'state') return error;
    return new RuntimeError('not-running', error.message, {
      operation: error.operation,
      containerId: this.id,
      ...(error.exitStatus !== undefined && { exitStatus: error.exitStatus }),
      ...(error.runtimeMessage !== undefined && { runtimeMessage: error.runtimeMessage }),
      cause: error,
    });
  }

  #notRunning(operation: string): RuntimeError {
    const program = this.#services.commands.programName;
    return new RuntimeError(
      'not-running',
      `${program} ${operation} failed: container not running`,
      {
        operation,
        containerId: this.id,
      },
    );
  }

  /** With the pid namespace of others no kernel ends all that is in the container when init ends. */
  async #killWhatOutlivesInit(): Promise<void> {
    await this.init.exited;
    if (this.ownsPidNamespace || this.cgroup === undefined) return;
    const { logger } = this.#services;
    try {
      const left = await listProcesses(this.cgroup);
      if (left.length === 0) return;
      await killAll(this.cgroup, { signal: AbortSignal.timeout(remnantsLimitMs) });
      logger.debug('killed what outlived init', { container: this.id, pids: left });
    } catch (error) {
      logger.error('processes outlive their container', { container: this.id, error });
    }
  }
}

async function discard(process: RuncProcess): Promise<void> {
  process.terminal?.close();
  process.signal(signals.SIGKILL);
  await process.exited;
}
