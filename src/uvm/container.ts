import { constants } from 'node:os';
import type { OomCounts } from '../cgroup/oom-watch.ts';
import { AgentError } from '../errors.ts';
import { runWithoutLogFields } from '../log/context.ts';
import type { Logger } from '../log/logger.ts';
import type { ExitStatus } from '../os/process.ts';
import type { WindowSize } from '../os/pty.ts';
import type { ContainerId, RuntimeContainer, RuntimeProcess } from '../runtime/runtime.ts';
import { prepareExec } from '../spec/exec.ts';
import type { OciLinuxResources, OciProcess, OciSpec } from '../spec/oci.ts';
import type { ConnectionSet } from '../stdio/connection-set.ts';
import type { StdioPorts, StdioSession } from '../stdio/stdio.ts';
import { ExitAnnouncement, exitTypeOf } from './exit-announcement.ts';
import { GuestProcess } from './guest-process.ts';
import { MemoryKills } from './memory-kills.ts';
import type { ContainerExit } from './operations.ts';
import type { PodPlace } from './pod.ts';
import { ProcessTable } from './process-table.ts';
import { runtimeFailure } from './runtime-failure.ts';
import { SharedLock } from './shared-lock.ts';
import type { ProcessStreams, StreamFactory } from './streams.ts';

const { SIGTERM, SIGKILL } = constants.signals;

/** What a created container consists of; the container owns all of it. */
export interface ContainerParts {
  spec: OciSpec;
  runtime: RuntimeContainer;
  /** The agent's ends of init's streams, until init is started. */
  initStreams: ProcessStreams;
  /** In its pod; undefined for one of its own. */
  place: PodPlace | undefined;
  /** Removes the bundle, the scratch directory and all it had around it; never throws. */
  removeDirectories: () => Promise<void>;
}

export interface ContainerContext {
  streams: StreamFactory;
  logger: Logger;
  onExit: (exit: ContainerExit) => void;
}

/**
 * One container from the end of its creation to its deletion. What changes it goes through its own
 * lock; signals, waits and resizes do not. After a delete that failed it is as it was before.
 */
export class Container {
  readonly id: ContainerId;
  readonly init: GuestProcess;
  readonly processes: ProcessTable;

  readonly #parts: ContainerParts;
  readonly #context: ContainerContext;
  readonly #lock = new SharedLock();
  readonly #initSession = Promise.withResolvers<StdioSession | undefined>();
  readonly #announcement: ExitAnnouncement;
  readonly #memoryKills: MemoryKills;
  #started = false;
  #deleted = false;
  /** The last of SIGTERM and SIGKILL that reached init through the agent. */
  #endedBy: number | undefined;

  constructor(parts: ContainerParts, context: ContainerContext) {
    const { runtime } = parts;
    this.id = runtime.id;
    this.#parts = parts;
    this.#context = context;
    this.processes = new ProcessTable((pid) =>
      context.logger.warning('exit status of a process nobody waited for is forgotten', { pid }),
    );
    this.init = new GuestProcess(runtime.init, this.#initSession.promise);
    this.#memoryKills = new MemoryKills(runtime, context.logger);
    this.#announcement = new ExitAnnouncement(this.init, () => {
      context.onExit({
        containerId: this.id,
        type: exitTypeOf(this.#endedBy),
        ...this.#outOfMemory(),
      });
      this.#memoryKills.tell();
    });
    // The end of a container belongs to no request, least of all to the one that created it.
    runWithoutLogFields(() => {
      void runtime.init.exited.then((status) => this.#initExited(status));
    });
  }

  get runtime(): RuntimeContainer {
    return this.#parts.runtime;
  }

  get spec(): OciSpec {
    return this.#parts.spec;
  }

  /** What became of it for want of memory; undefined while nothing did. */
  get memory(): OomCounts | undefined {
    return this.#memoryKills.counts;
  }

  get status(): 'created' | 'running' | 'stopped' {
    if (!this.init.running) return 'stopped';
    return this.#started ? 'running' : 'created';
  }

  async start(ports: StdioPorts): Promise<number> {
    const { streams } = this.#context;
    // Dialed outside the lock: a host that does not answer must not keep a delete waiting.
    using connections = await streams.dial(ports);
    return await this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      if (this.#started) {
        throw new AgentError(
          'failed',
          'runc start failed with exit status 1: cannot start an already running container',
          { operation: 'start', containerId: this.id },
        );
      }
      if (!this.init.running) {
        throw new AgentError(
          'container-not-running',
          `container ${this.id} ended before it was started`,
          { operation: 'start', containerId: this.id },
        );
      }
      await runtimeFailure('start', this.id, () => this.runtime.start());
      this.#started = true;
      // The host has its answer first.
      setImmediate(() => this.#watchMemory());
      // The relay begins after the start: until then what init writes waits in its pipes, and a
      // start that failed can be tried again on the same streams.
      try {
        const { initStreams } = this.#parts;
        this.#initSession.resolve(this.#relay(initStreams, connections, this.runtime.init));
      } catch (error) {
        this.#initSession.resolve(undefined);
        throw error;
      }
      return this.init.pid;
    });
  }

  async exec(process: OciProcess, ports: StdioPorts): Promise<number> {
    using _place = this.processes.reserve();
    const prepared = await prepareExec(process, this.spec);
    const { streams } = this.#context;
    using connections = await streams.dial(ports);
    return await this.#lock.shared(async () => {
      this.#assertNotDeleted();
      using own = streams.forProcess(prepared.terminal === true, ports);
      const started = await runtimeFailure('exec', this.id, () =>
        this.runtime.exec({ process: prepared, stdio: own.stdio }),
      );
      own.started(started.terminal);
      const guestProcess = new GuestProcess(started, this.#relay(own, connections, started));
      this.processes.add(guestProcess);
      void started.exited.then((status) =>
        this.#context.logger.debug('process exited', { pid: started.pid, status }),
      );
      return started.pid;
    });
  }

  /** A process whose streams cannot be set up is ended: nobody would ever know of it. */
  #relay(own: ProcessStreams, connections: ConnectionSet, process: RuntimeProcess): StdioSession {
    try {
      return own.relay(connections);
    } catch (error) {
      process.signal(SIGKILL);
      throw AgentError.from(error, { operation: 'exec', containerId: this.id });
    }
  }

  process(pid: number): GuestProcess {
    const process = this.init.pid === pid ? this.init : this.processes.get(pid);
    if (process === undefined) {
      throw new AgentError('process-not-found', `container ${this.id} has no process ${pid}`, {
        containerId: this.id,
      });
    }
    return process;
  }

  signal(pid: number, signal: number): void {
    const process = this.process(pid);
    process.signal(signal);
    if (process === this.init) this.#noteSignal(signal);
  }

  resize(pid: number, size: WindowSize): void {
    this.process(pid).resize(size);
  }

  shutdown(how: 'graceful' | 'forced'): void {
    const signal = how === 'graceful' ? SIGTERM : SIGKILL;
    if (!this.init.running) {
      throw new AgentError('container-not-running', `container ${this.id} is not running`, {
        operation: 'shutdown',
        containerId: this.id,
      });
    }
    this.init.signal(signal);
    this.#noteSignal(signal);
  }

  update(resources: OciLinuxResources): Promise<void> {
    return this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      await runtimeFailure('update', this.id, () => this.runtime.update(resources));
    });
  }

  delete(): Promise<void> {
    return this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      if (this.status === 'running') {
        throw new AgentError(
          'container-not-stopped',
          `runc delete failed with exit status 1: cannot delete container ${this.id} that is not stopped: running`,
          { operation: 'delete', containerId: this.id },
        );
      }
      await this.#leavePod(async () => {
        this.#beforeDelete();
        await runtimeFailure('delete', this.id, () => this.runtime.delete());
      });
      this.#deleted = true;
      await this.#release();
    });
  }

  /** Ends and removes it whatever its state; for an agent that ends and for a create that is undone. */
  destroy(): Promise<void> {
    return this.#lock.exclusive(async () => {
      if (this.#deleted) return;
      this.#beforeDelete();
      await runtimeFailure('delete', this.id, () => this.runtime.delete({ force: true }));
      this.#deleted = true;
      await this.#release();
    });
  }

  async #leavePod(remove: () => Promise<void>): Promise<void> {
    const { place } = this.#parts;
    place?.leave();
    try {
      await remove();
    } catch (error) {
      place?.stay();
      throw error;
    }
  }

  /** What only its cgroup knows is gone with it. */
  #beforeDelete(): void {
    if (!this.init.running) this.#memoryKills.tell();
  }

  #watchMemory(): void {
    if (!this.#deleted) this.#memoryKills.watch();
  }

  #outOfMemory(): Pick<ContainerExit, 'memoryKills'> {
    const { status } = this.init;
    const memoryKills = status === undefined ? 0 : this.#memoryKills.endedBy(status);
    return memoryKills === 0 ? {} : { memoryKills };
  }

  /** Nothing of it runs any more: ends what is still open, tells who waits, then removes its files. */
  async #release(): Promise<void> {
    this.#memoryKills[Symbol.dispose]();
    this.#abandonUnstarted();
    for (const process of [this.init, ...this.processes]) process.abortStreams();
    await this.init.drained;
    await this.#announcement.afterAnswers();
    await this.#parts.removeDirectories();
  }

  #abandonUnstarted(): void {
    if (this.#started) return;
    this.#parts.initStreams[Symbol.dispose]();
    this.#initSession.resolve(undefined);
  }

  async #initExited(status: ExitStatus): Promise<void> {
    this.#context.logger.info('container exited', {
      containerId: this.id,
      pid: this.init.pid,
      status,
    });
    // A start that is under way may still give init its streams: decided after it.
    await this.#lock.exclusive(async () => this.#abandonUnstarted());
  }

  #assertNotDeleted(): void {
    if (this.#deleted) {
      throw new AgentError('container-not-found', `container ${this.id} not found`, {
        containerId: this.id,
      });
    }
  }

  #noteSignal(signal: number): void {
    if (signal === SIGTERM || signal === SIGKILL) this.#endedBy = signal;
  }
}
