import { constants } from 'node:os';
import type { OomCounts } from '../cgroup/oom-watch.ts';
import type { AgentError, AgentErrorCode } from '../errors.ts';
import { runWithoutLogFields } from '../log/context.ts';
import type { ExitStatus } from '../os/process.ts';
import type { WindowSize } from '../os/pty.ts';
import type { ContainerId, RuntimeContainer } from '../runtime/runtime.ts';
import { prepareExec } from '../spec/exec.ts';
import type { OciLinuxResources, OciProcess, OciSpec } from '../spec/oci.ts';
import type { DoorFacts } from '../state/records.ts';
import type { ConnectionSet } from '../stdio/connection-set.ts';
import type { CriLog } from '../stdio/cri-log.ts';
import type { StdioKeeper } from '../stdio/keeper.ts';
import type { StdioPorts, StdioSession } from '../stdio/stdio.ts';
import { ContainerEnd } from './container-end.ts';
import { ContainerExecs } from './container-execs.ts';
import type {
  ContainerContext,
  ContainerParts,
  ExecPlan,
  RestoredContainer,
} from './container-parts.ts';
import {
  type ContainerStatus,
  deleted,
  hostsDelete,
  hostsShutdown,
  hostsStart,
  noProcess,
  notIn,
  wrongState,
} from './container-refusals.ts';
import { Freezer } from './freezer.ts';
import { GuestProcess } from './guest-process.ts';
import { ProcessTable } from './process-table.ts';
import { relayOrKill } from './relay-or-kill.ts';
import { runtimeFailure } from './runtime-failure.ts';
import { SharedLock } from './shared-lock.ts';

const { SIGTERM, SIGKILL } = constants.signals;

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
  readonly #end: ContainerEnd;
  readonly #execs: ContainerExecs;
  readonly #freezer: Freezer;
  #started = false;
  #startedAt: number | undefined;
  #deleted = false;

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
    this.#execs = new ContainerExecs(runtime, parts.record, context);
    this.#freezer = new Freezer(runtime, context.logger, restored?.paused ?? false);
    this.#end = new ContainerEnd(this.init, parts, context);
    if (restored !== undefined) this.#restore(restored);
    const { criLog } = parts;
    if (criLog !== undefined) void this.init.closed().then(() => criLog.close());
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
    const { startedAt, session, execs } = restored;
    this.#started = startedAt !== undefined;
    this.#startedAt = startedAt;
    if (this.#started) {
      this.#initSession.resolve(session);
      this.#watchMemory();
    }
    for (const process of execs) {
      this.processes.add(process);
      this.#execs.tellOfEnd(process, `pid:${process.pid}`);
    }
    for (const { processId, guest } of restored.ofDoor) {
      if (guest === undefined) continue;
      this.others.add(guest);
      this.#execs.tellOfEnd(guest, processId);
    }
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
    return this.#execs.nextStreams();
  }

  get runtime(): RuntimeContainer {
    return this.#parts.runtime;
  }

  get spec(): OciSpec {
    return this.#parts.spec;
  }

  /** What became of it for want of memory; undefined while nothing did. */
  get memory(): OomCounts | undefined {
    return this.#end.memory;
  }

  get status(): ContainerStatus {
    if (!this.init.running) return 'stopped';
    if (!this.#started) return 'created';
    return this.#freezer.frozen ? 'paused' : 'running';
  }

  get runtimeName(): string {
    return this.#parts.runtimeName;
  }

  get startedAt(): number | undefined {
    return this.#startedAt;
  }

  /** It was for want of memory that its init ended. */
  get outOfMemoryEnd(): boolean {
    return this.#end.outOfMemory;
  }

  /** Processes that the kernel has killed for memory by now. */
  get memoryKills(): number {
    return this.#end.memoryKills;
  }

  async start(ports: StdioPorts): Promise<number> {
    // Dialed outside the lock: a host that does not answer must not keep a delete waiting.
    using connections = await this.#context.streams.dial(ports, this.#parts.keeper);
    return await this.startOn(connections, { refusal: () => hostsStart(this, this.#started) });
  }

  /**
   * The same on connections that are there; what is not taken from them stays the caller's.
   * AgentError 'container-not-created', unless `refusal` makes another, for one that is not in the
   * state to be started.
   */
  async startOn(
    connections: ConnectionSet,
    options: {
      signal?: AbortSignal;
      hub?: boolean;
      refusal?: () => AgentError;
    } = {},
  ): Promise<number> {
    const {
      signal,
      hub = false,
      refusal = () => wrongState(this, 'container-not-created', 'start'),
    } = options;
    return await this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      if (this.status !== 'created') throw refusal();
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
        this.#initSession.resolve(
          relayOrKill(this.id, initStreams, connections, this.runtime.init),
        );
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
    return await this.#lock.shared(async () => {
      this.#assertNotDeleted();
      plan.check?.();
      return await this.#execs.start(plan);
    });
  }

  process(pid: number): GuestProcess {
    const process = this.init.pid === pid ? this.init : this.processes.get(pid);
    if (process === undefined) throw noProcess(this.id, pid);
    return process;
  }

  signal(pid: number, signal: number): void {
    const process = this.process(pid);
    process.signal(signal);
    if (process === this.init) this.#end.noteSignal(signal);
    this.#freezer.delivered(signal);
  }

  /** To be called by who sends SIGKILL past this container: it is known then what ended it, and thawed. */
  noteKill(): void {
    this.#end.noteSignal(SIGKILL);
    this.#freezer.delivered(SIGKILL);
  }

  resize(pid: number, size: WindowSize): void {
    this.process(pid).resize(size);
  }

  shutdown(how: 'graceful' | 'forced'): void {
    if (!this.init.running) throw hostsShutdown(this);
    this.signal(this.init.pid, how === 'graceful' ? SIGTERM : SIGKILL);
  }

  /** Stops all of its processes until it is resumed. */
  pause(): Promise<void> {
    return this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      this.#assertIn('running', 'container-not-running', 'pause');
      await this.#freezer.freeze();
      this.#context.lifecycle.emit({ kind: 'pause', containerId: this.id });
    });
  }

  resume(): Promise<void> {
    return this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      this.#assertIn('paused', 'container-not-paused', 'resume');
      await this.#freezer.resume();
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
    return this.withRuntime('alone', (runtime) =>
      runtimeFailure('update', this.id, () => runtime.update(resources)),
    );
  }

  /** @param options.force ends it when it runs */
  delete({ force = false }: { force?: boolean } = {}): Promise<void> {
    return this.#lock.exclusive(async () => {
      this.#assertNotDeleted();
      const { status } = this;
      if (!force && (status === 'running' || status === 'paused')) {
        throw hostsDelete(this);
      }
      await this.#leavePod(async () => {
        this.#end.beforeDelete();
        if (force) await this.#freezer.thaw();
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
      this.#end.beforeDelete();
      await this.#freezer.thaw();
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

  #watchMemory(): void {
    if (!this.#deleted) this.#end.watchMemory();
  }

  /** Nothing of it runs any more: ends what is still open, tells who waits, then removes its files. */
  async #release(): Promise<void> {
    this.#end[Symbol.dispose]();
    this.#abandonUnstarted();
    for (const process of [this.init, ...this.processes, ...this.others]) process.abortStreams();
    await this.#end.told();
    await this.#parts.removeDirectories();
    this.#parts.record.remove();
    this.#context.lifecycle.emit({ kind: 'delete', containerId: this.id });
  }

  #abandonUnstarted(): void {
    if (this.#started) return;
    this.#parts.initStreams[Symbol.dispose]();
    this.#initSession.resolve(undefined);
  }

  async #initExited(status: ExitStatus): Promise<void> {
    this.#end.initExited(status);
    // A start that is under way may still give init its streams: decided after it.
    await this.#lock.exclusive(async () => this.#abandonUnstarted());
  }

  #assertNotDeleted(): void {
    if (this.#deleted) throw deleted(this.id);
  }

  #assertIn(wanted: ContainerStatus, code: AgentErrorCode, operation: string): void {
    if (this.status !== wanted) throw notIn(wanted, this, code, operation);
  }
}
