import { AgentError } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import type { WindowSize } from '../../os/pty.ts';
import type { Reaper } from '../../os/reaper.ts';
import type { OciLinuxResources } from '../../spec/oci.ts';
import { ConnectionSet } from '../../stdio/connection-set.ts';
import type { Container } from '../container.ts';
import { notRunning } from '../container-refusals.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type {
  CheckpointRequest,
  ContainerInspection,
  ContainerState,
  ContainerStats,
  CreateRequest,
  EventPosition,
  EventSubscription,
  ExecRequest,
  ExecSyncRequest,
  ExecSyncResult,
  ExitInfo,
  LifecycleEvent,
  ManagementOperations,
  MetricFamily,
  ProcessRow,
  ProcessState,
  ReadyCondition,
  RestoreRequest,
  RuntimeInfo,
  SignalOptions,
  SignalResult,
  StartOptions,
  StopOptions,
  StreamConnections,
} from '../management.ts';
import type { CreateContainerRequest } from '../operations.ts';
import { chooseRuntime, type RuntimeCatalogue } from '../runtime-catalogue.ts';
import { runtimeFailure } from '../runtime-failure.ts';
import type { CreateChoices } from '../uvm.ts';
import { checkSignal, checkTimeout, invalid } from './check.ts';
import { networkReady, runtimeReady } from './conditions.ts';
import { doorFacts, planCreate, stopSignalOf } from './create-request.ts';
import { execSync } from './exec-sync.ts';
import { operationLimits } from './limits.ts';
import { hubFor, ManagedContainer } from './managed-container.ts';
import { vmMetrics } from './metrics.ts';
import { describeRuntimes } from './runtimes.ts';
import { signalEveryProcess } from './signals.ts';
import { containerState, inspection } from './state.ts';
import { containerStats } from './stats.ts';
import { Stop } from './stop.ts';
import { startDeadline, type WaitOptions, waitFor } from './waiting.ts';

/** What the operations need of the VM. */
export interface ManagedVm {
  readonly containers: ReadonlyMap<string, Container>;
  /** Ids of those being created. */
  creating(): Iterable<string>;
  /** AgentError 'container-not-found', 'container-busy'. */
  find(id: string): Container;
  create(request: CreateContainerRequest, choices: CreateChoices): Promise<Container>;
  delete(id: string, options: { force?: boolean }): Promise<void>;
  readonly runtimes: RuntimeCatalogue;
  /** Directory for bundles of its own. */
  readonly bundles: string;
  readonly lifecycle: Lifecycle;
  /** Aborted when the agent ends. */
  readonly end: AbortSignal;
  readonly reaper: Reaper;
  readonly logger: Logger;
}

type Cancellable = { signal?: AbortSignal };

/** The operations of the management door on the VM's containers. */
export class Management implements ManagementOperations {
  readonly #vm: ManagedVm;
  readonly #managed = new WeakMap<Container, ManagedContainer>();

  constructor(vm: ManagedVm) {
    this.#vm = vm;
  }

  async list(): Promise<ContainerState[]> {
    const made = [...this.#vm.containers.values()].map((container) => this.#state(container));
    const creating = [...this.#vm.creating()]
      .filter((id) => !this.#vm.containers.has(id))
      .map((id) => stateOfCreating(id));
    return [...made, ...creating];
  }

  async state(id: string): Promise<ContainerState> {
    return this.#state(this.#vm.find(id));
  }

  async inspect(id: string): Promise<ContainerInspection> {
    const managed = this.#find(id);
    return inspection(managed.container, managed.logPath, managed.list());
  }

  async create(request: CreateRequest, options: Cancellable = {}): Promise<ContainerState> {
    const { runtime, warning } = chooseRuntime(this.#vm.runtimes, request);
    if (warning !== undefined) this.#vm.logger.warning(warning, { containerId: request.id });
    const plan = planCreate(request, this.#vm.bundles);
    const container = await this.#vm.create(plan, {
      runtime,
      door: doorFacts(request),
      ...(options.signal === undefined
        ? {}
        : { signal: AbortSignal.any([this.#vm.end, options.signal]) }),
    });
    return this.#state(container);
  }

  async start(id: string, options: StartOptions = {}): Promise<ContainerState> {
    const { streams = {} } = options;
    using unused = ConnectionSet.of(streams);
    const managed = this.#find(id);
    const { container } = managed;
    using given = unused.keptBy(container.initKeeper);
    const timeoutMs = checkTimeout(options.timeoutMs, operationLimits.startTimeoutMs);
    const terminal = container.spec.process?.terminal === true;
    const hub = hubFor(streams, terminal, terminal || container.door?.openStdin === true);
    using connections = hub?.connections ?? given;
    const deadline = startDeadline(`start of container ${id}`, timeoutMs, [this.#vm.end]);
    using _deadline = deadline;
    try {
      await container.startOn(connections, { signal: deadline.signal, hub: hub !== undefined });
    } catch (error) {
      if (!deadline.signal.aborted || container.status !== 'created') throw error;
      // It may have been started all the same: nobody shall find it running after this answer.
      container.init.kill();
      throw deadline.signal.reason;
    }
    managed.initHub = hub;
    return this.#state(container);
  }

  async pause(id: string): Promise<ContainerState> {
    const container = this.#vm.find(id);
    await container.pause();
    return this.#state(container);
  }

  async resume(id: string): Promise<ContainerState> {
    const container = this.#vm.find(id);
    await container.resume();
    return this.#state(container);
  }

  async signal(id: string, options: SignalOptions = {}): Promise<SignalResult> {
    const managed = this.#find(id);
    const { container } = managed;
    const { all = false, processId } = options;
    const signal = checkSignal(options.signal ?? 'SIGTERM');
    if (all && processId !== undefined) throw invalid('processId', 'not with all');
    if (all) return await signalEveryProcess(container, signal);
    if (!container.init.running) throw notRunning(container, 'signal');
    managed.signal(processId ?? 'init', signal);
    return { signalled: 1, failed: [] };
  }

  async stop(id: string, options: StopOptions = {}): Promise<ContainerState> {
    const managed = this.#find(id);
    const { container } = managed;
    const timeoutMs = checkTimeout(options.timeoutMs, operationLimits.stopTimeoutMs);
    if (container.init.running) {
      managed.stop?.join(timeoutMs);
      managed.stop ??= this.#newStop(managed, timeoutMs);
      await waitFor(`the stop of container ${id}`, managed.stop.done, {
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
    }
    return this.#state(container);
  }

  #newStop(managed: ManagedContainer, timeoutMs: number): Stop {
    const { container } = managed;
    const stop = new Stop(container, stopSignalOf(container.spec), timeoutMs);
    const over = (): void => {
      managed.stop = undefined;
    };
    stop.done.then(over, over);
    return stop;
  }

  async wait(id: string, options: WaitOptions = {}): Promise<ExitInfo> {
    return await this.#find(id).wait('init', options);
  }

  async delete(id: string, options: { force?: boolean } = {}): Promise<void> {
    await this.#vm.delete(id, options);
  }

  async update(id: string, resources: OciLinuxResources): Promise<void> {
    const container = this.#vm.find(id);
    if (!container.init.running) throw notRunning(container, 'update');
    await container.update(resources);
  }

  async processes(id: string): Promise<ProcessRow[]> {
    const managed = this.#find(id);
    const { container } = managed;
    if (!container.init.running) return [];
    const rows = await runtimeFailure('processes', id, () => container.runtime.processes());
    return rows.map(({ pid, commandLine, zombie }) => {
      const processId = managed.nameOf(pid);
      return { pid, commandLine, zombie, ...(processId === undefined ? {} : { processId }) };
    });
  }

  async stats(id: string): Promise<ContainerStats> {
    return await containerStats(this.#vm.find(id));
  }

  async reopenLog(id: string): Promise<void> {
    this.#find(id).reopenLog();
  }

  async checkpoint(
    id: string,
    request: CheckpointRequest,
    options: Cancellable = {},
  ): Promise<void> {
    const { checkpointContainer } = await import('./checkpoint.ts');
    await checkpointContainer(this.#vm.find(id), request, options.signal);
  }

  async restore(request: RestoreRequest, options: Cancellable = {}): Promise<ContainerState> {
    const { restoreContainer } = await import('./checkpoint.ts');
    return this.#state(await restoreContainer(this.#vm, request, options.signal));
  }

  async exec(id: string, request: ExecRequest, options: Cancellable = {}): Promise<ProcessState> {
    try {
      return await this.#find(id).exec(request, [options.signal, this.#vm.end]);
    } catch (error) {
      closeAll(request.streams);
      throw error;
    }
  }

  async execSync(
    id: string,
    request: ExecSyncRequest,
    options: Cancellable = {},
  ): Promise<ExecSyncResult> {
    const { end, logger, lifecycle } = this.#vm;
    return await execSync(this.#find(id), request, { end, logger, lifecycle }, options.signal);
  }

  async listProcesses(id: string): Promise<ProcessState[]> {
    return this.#find(id).list();
  }

  async processState(id: string, processId: string): Promise<ProcessState> {
    return this.#find(id).state(processId);
  }

  async exitStatus(id: string, processId: string): Promise<ExitInfo> {
    const exit = this.#find(id).exit(processId);
    if (exit !== undefined) return exit;
    throw new AgentError('process-not-exited', `process ${processId} has not exited`, {
      containerId: id,
    });
  }

  async waitProcess(id: string, processId: string, options: WaitOptions = {}): Promise<ExitInfo> {
    return await this.#find(id).wait(processId, options);
  }

  async resize(id: string, processId: string, size: WindowSize): Promise<void> {
    this.#find(id).resize(processId, size);
  }

  async closeStdin(id: string, processId: string): Promise<void> {
    this.#find(id).closeStdin(processId);
  }

  async attach(id: string, processId: string, streams: StreamConnections): Promise<void> {
    try {
      this.#find(id).attach(processId, streams);
    } catch (error) {
      closeAll(streams);
      throw error;
    }
  }

  async deleteProcess(id: string, processId: string): Promise<void> {
    this.#find(id).delete(processId);
  }

  async runtimes(): Promise<RuntimeInfo[]> {
    return await describeRuntimes(this.#vm.runtimes);
  }

  async conditions(): Promise<ReadyCondition[]> {
    return [await runtimeReady(this.#vm.runtimes), networkReady()];
  }

  subscribe(
    position: EventPosition | undefined,
    receiver: (event: LifecycleEvent) => void,
  ): EventSubscription {
    return this.#vm.lifecycle.subscribe(position, receiver);
  }

  async metrics(): Promise<MetricFamily[]> {
    const { containers, lifecycle, reaper } = this.#vm;
    return vmMetrics([...containers.values()], lifecycle, reaper);
  }

  #find(id: string): ManagedContainer {
    return this.#of(this.#vm.find(id));
  }

  #of(container: Container): ManagedContainer {
    const known = this.#managed.get(container);
    if (known !== undefined) return known;
    const managed = new ManagedContainer(container);
    this.#managed.set(container, managed);
    return managed;
  }

  #state(container: Container): ContainerState {
    const origin = container.door?.origin;
    const state = containerState(container, container.door?.log?.path);
    return origin === undefined ? state : { ...state, bundle: origin };
  }
}

function stateOfCreating(id: string): ContainerState {
  return {
    id,
    status: 'creating',
    pid: 0,
    startTime: 0,
    bundle: '',
    runtime: '',
    terminal: false,
    createdAt: Date.now(),
    annotations: {},
  };
}

/** Of an operation that failed before it took them; closing one that was taken does nothing. */
function closeAll(streams: StreamConnections = {}): void {
  for (const connection of Object.values(streams)) connection?.close();
}
