import { constants } from 'node:os';
import type { OomCounts } from '../cgroup/oom-watch.ts';
import { thaw } from '../cgroup/processes.ts';
import { AgentError, type AgentErrorCode } from '../errors.ts';
import { runWithoutLogFields } from '../log/context.ts';
import type { Logger } from '../log/logger.ts';
import { type ExitStatus, exitCodeOf } from '../os/process.ts';
import type { WindowSize } from '../os/pty.ts';
import type { ContainerId, RuntimeContainer, RuntimeProcess } from '../runtime/runtime.ts';
import { prepareExec } from '../spec/exec.ts';
import type { OciLinuxResources, OciProcess, OciSpec } from '../spec/oci.ts';
import type { ContainerRecord, Journal } from '../state/journal.ts';
import type { DoorExec, DoorFacts } from '../state/records.ts';
import type { ConnectionSet } from '../stdio/connection-set.ts';
import type { CriLog } from '../stdio/cri-log.ts';
import type { StdioKeeper } from '../stdio/keeper.ts';
import type { StdioPorts, StdioSession } from '../stdio/stdio.ts';
import { ExitAnnouncement, exitTypeOf } from './exit-announcement.ts';
import { GuestProcess } from './guest-process.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { AttachHub } from './management/attach-hub.ts';
import type { OwnProcess } from './management/managed-container.ts';
import { MemoryKills } from './memory-kills.ts';
import type { ContainerExit } from './operations.ts';
import type { PodPlace } from './pod.ts';
import { ProcessTable } from './process-table.ts';
import { runtimeFailure } from './runtime-failure.ts';
import { SharedLock } from './shared-lock.ts';
import type { StartedStreams, StreamFactory } from './streams.ts';

const { SIGTERM, SIGKILL } = constants.signals;

/** What a created container consists of; the container owns all of it. */
export interface ContainerParts {
  spec: OciSpec;
  runtime: RuntimeContainer;
  /** Of the OCI runtime that keeps it. */
  runtimeName: string;
  /** The agent's ends of init's streams, until init is started. */
  initStreams: StartedStreams;
  /** In its pod; undefined for one of its own. */
  place: PodPlace | undefined;
  /** Removes the bundle, the scratch directory and all it had around it; never throws. */
  removeDirectories: () => Promise<void>;
  /** What the management door knows of it; undefined for one that the bridge has made. */
  door: DoorFacts | undefined;
  /** Of its init's output; closed by the container. */
  criLog: CriLog | undefined;
  record: ContainerRecord;
  /** Of init's streams. */
  keeper: StdioKeeper | undefined;
  /** Of a container that an agent before this one made. */
  restored?: RestoredContainer;
}

export interface RestoredContainer {
  readonly createdAt: number;
  readonly startedAt: number | undefined;
  readonly paused: boolean;
  /** Init's; undefined: it was never started, and `initStreams` are there. */
  readonly session: StdioSession | undefined;
  readonly endedBy: number | undefined;
  /** Those that were started through the bridge. */
  readonly execs: readonly GuestProcess[];
  /** For the management door: where clients of init attach, and its processes. */
  readonly hub: AttachHub | undefined;
  readonly ofDoor: readonly OwnProcess[];
}

export interface ContainerContext {
  streams: StreamFactory;
  logger: Logger;
  onExit: (exit: ContainerExit) => void;
  lifecycle: Lifecycle;
  journal: Journal;
  /** Aborted when the agent ends: what is being started is ended instead. */
  signal: AbortSignal;
}

/** An exec, ready for the runtime. */
export interface ExecPlan {
  /** See `prepareExec`. */
  process: OciProcess;
  /** What is not taken from them stays the caller's. */
  connections: ConnectionSet;
  /** Of the management door: by its name in events, and for an agent after this one. */
  door?: DoorExec;
  /** Of its streams, where the connections have one; default a new one. */
  number?: number;
  /** Instead of the context's. */
  signal?: AbortSignal;
  /** Called before anything else can be done to the container. */
  register: (process: GuestProcess) => void;
}

/**
 * One container from the end of its creation to its deletion. What changes it goes through its own
 * lock; signals, waits and resizes do not. After a delete that failed it is as it was before.
 */
export class Container {
  readonly id: ContainerId;
  readonly init: GuestProcess;
  readonly processes: ProcessTable;
  /** Processes that somebody other than the bridge has started: theirs to remove when they have ended. */
  readonly others = new Set<GuestProcess>();
  readonly createdAt: number;

  readonly #parts: ContainerParts;
  readonly #context: ContainerContext;
  readonly #lock = new SharedLock();
  readonly #initSession = Promise.withResolvers<StdioSession | undefined>();
  readonly #announcement: ExitAnnouncement;
  readonly #memoryKills: MemoryKills;
  #started = false;
  #startedAt: number | undefined;
  #paused = false;
  #deleted = false;
  #outOfMemoryEnd = false;
  /** The last of SIGTERM and SIGKILL that reached init through the agent. */
  #endedBy: number | undefined;

  constructor(parts: ContainerParts, context: ContainerContext) {
    const { runtime } = parts;
    this.id = runtime.id;
    this.#parts = parts;
    this.#context = context;
    const { restored } = parts;
    this.createdAt = restored?.createdAt ?? Date.now();
    this.processes = new ProcessTable((pid) =>
      context.logger.warning('exit status of a process nobody waited for is forgotten', { pid }),
    );
    this.init = new GuestProcess(runtime.init, this.#initSession.promise);
    this.#memoryKills = new MemoryKills(runtime, context.logger, ({ kills }) =>
      context.lifecycle.emit({ kind: 'oom', containerId: this.id, kills }),
    );
    if (restored !== undefined) this.#restore(restored);
    const { criLog } = parts;
    if (criLog !== undefined) void this.init.closed().then(() => criLog.close());
    this.#announcement = new ExitAnnouncement(this.init, () => this.#announce());
    // The end of a container belongs to no request, least of all to the one that created it.
    runWithoutLogFields(() => {
      void runtime.init.exited.then((status) => this.#initExited(status));
    });
    if (restored !== undefined) return;
    context.lifecycle.emit({
      kind: 'create',
      containerId: this.id,
      pid: this.init.pid,
      at: this.createdAt,
    });
  }

  #restore(restored: RestoredContainer): void {
    const { startedAt, paused, session, endedBy, execs } = restored;
    this.#started = startedAt !== undefined;
    this.#startedAt = startedAt;
    this.#paused = paused;
    this.#endedBy = endedBy;
    if (this.#started) {
      this.#initSession.resolve(session);
      this.#watchMemory();
    }
    for (const process of execs) {
      this.processes.add(process);
      this.#tellOfEnd(process, `pid:${process.pid}`);
    }
    for (const { processId, guest } of restored.ofDoor) {
      if (guest === undefined) continue;
      this.others.add(guest);
      this.#tellOfEnd(guest, processId);
    }
  }

  #announce(): void {
    const { record } = this.#parts;
    if (record.progress.announced === true) return;
    const exit = { type: exitTypeOf(this.#endedBy), ...this.#outOfMemory() };
    record.announcing(exit);
    const told = (): void => record.announced();
    this.#context.onExit({ containerId: this.id, ...exit, told });
    this.#memoryKills.tell();
  }

  get door(): DoorFacts | undefined {
    return this.#parts.door;
  }

  get criLog(): CriLog | undefined {
    return this.#parts.criLog;
  }

  /** What the management door takes over from an agent before this one. */
  get restored(): Pick<RestoredContainer, 'hub' | 'ofDoor'> | undefined {
    return this.#parts.restored;
  }

  /** Keeps the connections that init is started on. */
  get initKeeper(): StdioKeeper | undefined {
    return this.#parts.keeper;
  }

  /** For the streams of an exec: their number, and what keeps their connections. */
  nextStreams(): { number: number; keeper: StdioKeeper | undefined } {
    const { streams, journal } = this.#context;
    const number = journal.nextNumber();
    return { number, keeper: streams.keeper(number) };
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

  get status(): 'created' | 'running' | 'paused' | 'stopped' {
    if (!this.init.running) return 'stopped';
    if (!this.#started) return 'created';
    return this.#paused ? 'paused' : 'running';
  }

  get runtimeName(): string {
    return this.#parts.runtimeName;
  }

  get startedAt(): number | undefined {
    return this.#startedAt;
  }

  /** It was for want of memory that its init ended. */
  get outOfMemoryEnd(): boolean {
    return this.#outOfMemoryEnd;
  }

  /** Processes that the kernel has killed for memory by now. */
  get memoryKills(): number {
    return this.#memoryKills.kills;
  }

  async start(ports: StdioPorts): Promise<number> {
    // Dialed outside the lock: a host that does not answer must not keep a delete waiting.
    using connections = await this.#context.streams.dial(ports, this.#parts.keeper);
    return await this.startOn(connections);
  }

  /** The same on connections that are there; what is not taken from them stays the caller's. */
  async startOn(
    connections: ConnectionSet,
    options: { signal?: AbortSignal; hub?: boolean } = {},
  ): Promise<number> {
    const { signal, hub = false } = options;
    return await this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      if (this.#started) {
        throw new AgentError(
          'container-not-created',
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
      const { record } = this.#parts;
      record.phase('starting');
      try {
        await runtimeFailure('start', this.id, () =>
          this.runtime.start(signal === undefined ? {} : { signal }),
        );
      } catch (error) {
        record.phase('created');
        throw error;
      }
      this.#started = true;
      this.#startedAt = Date.now();
      record.running(hub ? { hub } : {});
      this.#context.lifecycle.emit({
        kind: 'start',
        containerId: this.id,
        pid: this.init.pid,
        at: this.#startedAt,
      });
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
      await this.#context.streams.kept();
      return this.init.pid;
    });
  }

  async exec(process: OciProcess, ports: StdioPorts): Promise<number> {
    using _place = this.processes.reserve();
    const prepared = await prepareExec(process, this.spec);
    const { number, keeper } = this.nextStreams();
    using connections = await this.#context.streams.dial(ports, keeper);
    const register = (started: GuestProcess): void => this.processes.add(started);
    return (await this.execOn({ process: prepared, connections, register, number })).pid;
  }

  /** The same on connections that are there. */
  async execOn(plan: ExecPlan): Promise<GuestProcess> {
    const { process, connections, signal = this.#context.signal } = plan;
    return await this.#lock.shared(async () => {
      this.#assertNotDeleted();
      const { streams, journal } = this.#context;
      const { number = journal.nextNumber() } = plan;
      const terminal = process.terminal === true;
      const record = this.#parts.record.createProcess(
        terminal ? 'terminal' : 'pipes',
        number,
        plan.door,
      );
      try {
        const keeper = streams.keeper(number);
        using own = streams.forProcess(terminal, connections.wanted, { keeper });
        const begin = performance.now();
        const started = await runtimeFailure('exec', this.id, () =>
          this.runtime.exec({ process, stdio: own.stdio, signal }),
        );
        this.#context.lifecycle.execTimes.observe((performance.now() - begin) / 1000);
        own.started(started.terminal);
        const session = this.#relay(own, connections, started);
        record.running(started);
        const guestProcess = new GuestProcess(started, session, record);
        plan.register(guestProcess);
        this.#tellOfExec(guestProcess, plan.door?.processId ?? `pid:${started.pid}`);
        await streams.kept();
        return guestProcess;
      } catch (error) {
        record.remove();
        throw error;
      }
    });
  }

  #tellOfExec(process: GuestProcess, processId: string): void {
    const { pid } = process;
    this.#context.lifecycle.emit({ kind: 'exec', containerId: this.id, processId, pid });
    this.#tellOfEnd(process, processId);
  }

  #tellOfEnd(process: GuestProcess, processId: string): void {
    const { lifecycle, logger } = this.#context;
    const { pid } = process;
    const about = { containerId: this.id, processId, pid };
    runWithoutLogFields(() => {
      void process.exited.then((status) => {
        logger.debug('process exited', { pid, status });
        if (process.endTold) return;
        lifecycle.emit({ kind: 'exit', ...about, exitCode: exitCodeOf(status) });
        setImmediate(() => process.tellsEnd());
      });
    });
  }

  /** A process whose streams cannot be set up is ended: nobody would ever know of it. */
  #relay(own: StartedStreams, connections: ConnectionSet, process: RuntimeProcess): StdioSession {
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
    this.#deliver(signal);
  }

  /** To be called by who sends SIGKILL past this container: it is known then what ended it, and thawed. */
  noteKill(): void {
    this.#noteSignal(SIGKILL);
    this.#deliver(SIGKILL);
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
    this.#deliver(signal);
  }

  /** Stops all of its processes until it is resumed. */
  pause(): Promise<void> {
    return this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      if (this.status !== 'running') throw this.#notIn('container-not-running', 'pause', 'running');
      await runtimeFailure('pause', this.id, () => this.runtime.pause());
      this.#paused = true;
      this.#context.lifecycle.emit({ kind: 'pause', containerId: this.id });
    });
  }

  resume(): Promise<void> {
    return this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      if (this.status !== 'paused') throw this.#notIn('container-not-paused', 'resume', 'paused');
      await runtimeFailure('resume', this.id, () => this.runtime.resume());
      this.#paused = false;
      // A signal that waited for it may have been its end, which has been told then.
      if (!this.init.running) return;
      this.#context.lifecycle.emit({ kind: 'resume', containerId: this.id });
    });
  }

  /** Runs an operation of the runtime alone, as all that changes the container, or `beside` execs; never on one that is deleted. */
  withRuntime<T>(
    how: 'alone' | 'beside',
    operation: (runtime: RuntimeContainer) => Promise<T>,
  ): Promise<T> {
    const run = async (): Promise<T> => {
      this.#assertNotDeleted();
      return await operation(this.runtime);
    };
    return how === 'alone' ? this.#lock.exclusive(run) : this.#lock.shared(run);
  }

  update(resources: OciLinuxResources): Promise<void> {
    return this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      await runtimeFailure('update', this.id, () => this.runtime.update(resources));
    });
  }

  /** @param options.force ends it when it runs */
  delete({ force = false }: { force?: boolean } = {}): Promise<void> {
    return this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      const { status } = this;
      if (!force && (status === 'running' || status === 'paused')) {
        throw new AgentError(
          'container-not-stopped',
          `runc delete failed with exit status 1: cannot delete container ${this.id} that is not stopped: ${status}`,
          { operation: 'delete', containerId: this.id },
        );
      }
      await this.#leavePod(async () => {
        this.#beforeDelete();
        if (force) await this.#thaw();
        await this.#deleteRecorded(force);
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
      await this.#thaw();
      await this.#deleteRecorded(true);
      this.#deleted = true;
      await this.#release();
    });
  }

  async #deleteRecorded(force: boolean): Promise<void> {
    const { record } = this.#parts;
    const { phase } = record.progress;
    record.phase('deleting');
    try {
      await runtimeFailure('delete', this.id, () => this.runtime.delete({ force }));
    } catch (error) {
      record.phase(phase);
      throw error;
    }
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
    for (const process of [this.init, ...this.processes, ...this.others]) process.abortStreams();
    await this.init.drained;
    await this.#announcement.afterAnswers();
    await this.#parts.removeDirectories();
    this.#parts.record.remove();
    this.#context.lifecycle.emit({ kind: 'delete', containerId: this.id });
  }

  /** What is frozen takes its SIGKILL only when it is thawed (cgroup v1). */
  #deliver(signal: number): void {
    if (signal !== SIGKILL) return;
    this.#thaw().catch((error) =>
      this.#context.logger.error('a killed container cannot be thawed', { error: String(error) }),
    );
  }

  async #thaw(): Promise<void> {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.runtime.cgroup !== undefined) await thaw(this.runtime.cgroup);
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
    this.#outOfMemoryEnd = this.#memoryKills.endedBy(status) > 0;
    if (this.#parts.record.progress.endTold !== true) this.#tellOfInitEnd(status);
    // A start that is under way may still give init its streams: decided after it.
    await this.#lock.exclusive(async () => this.#abandonUnstarted());
  }

  #tellOfInitEnd(status: ExitStatus): void {
    const { lifecycle } = this.#context;
    lifecycle.emit({
      kind: 'exit',
      containerId: this.id,
      processId: 'init',
      pid: this.init.pid,
      exitCode: exitCodeOf(status),
      oomKilled: this.#outOfMemoryEnd,
    });
    // Who waits for the exit code has it first.
    setImmediate(() => this.#parts.record.tellsEnd());
  }

  #assertNotDeleted(): void {
    if (this.#deleted) {
      throw new AgentError('container-not-found', `container ${this.id} not found`, {
        containerId: this.id,
      });
    }
  }

  #notIn(code: AgentErrorCode, operation: string, wanted: string): AgentError {
    const text = `container ${this.id} is not ${wanted}: ${this.status}`;
    return new AgentError(code, text, { operation, containerId: this.id });
  }

  #noteSignal(signal: number): void {
    if (signal !== SIGTERM && signal !== SIGKILL) return;
    this.#endedBy = signal;
    this.#parts.record.endedBy(signal);
  }
}
