import type { MachineMemory } from '../cgroup/machine-memory.ts';
import type { Metrics } from '../cgroup/metrics.ts';
import { AgentError } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { DescriptorStore } from '../os/descriptor-store.ts';
import type { WindowSize } from '../os/pty.ts';
import type { Reaper } from '../os/reaper.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { OciLinuxResources, OciProcess } from '../spec/oci.ts';
import { Journal } from '../state/journal.ts';
import { hasState } from '../state/left.ts';
import type { DrainPolicy, StdioPorts } from '../stdio/stdio.ts';
import { isAtOrBelow } from '../storage/host-path.ts';
import type { Transport } from '../vsock/transport.ts';
import { BundleClaims } from './bundle-claims.ts';
import type { Container } from './container.ts';
import type { CreateContext } from './create.ts';
import { describeUvm } from './describe.ts';
import { ExitEvents } from './exit-events.ts';
import type { GuestProcess } from './guest-process.ts';
import { LazyResources } from './lazy-resources.ts';
import { Lifecycle } from './lifecycle.ts';
import { uvmLimits } from './limits.ts';
import type { Management } from './management/management.ts';
import type { ManagementOperations } from './management.ts';
import { Namespaces } from './namespaces.ts';
import type {
  ContainerExit,
  CreateContainerRequest,
  Target,
  UvmOperations,
  UvmProcessRequest,
} from './operations.ts';
import { Pods } from './pod.ts';
import type { Power } from './power.ts';
import { oneRuntime, type RuntimeCatalogue } from './runtime-catalogue.ts';
import { SecurityPolicy } from './security-policy.ts';
import { containerStatistics } from './statistics.ts';
import { StreamFactory } from './streams.ts';
import { UvmProcesses } from './uvm-processes.ts';

export interface UvmDependencies {
  /** For containers of the bridge. */
  runtime: Runtime;
  /** Also other ones, for those who can choose. Default: that one alone. */
  runtimes?: RuntimeCatalogue;
  /** Directory for bundles that nobody names a place for; default /run/gcs/b. */
  bundles?: string;
  transport: Transport;
  reaper: Reaper;
  logger: Logger;
  drainPolicy: DrainPolicy;
  power: Power;
  /** What an agent that takes the place of this one is told; default: nothing. */
  journal?: Journal;
  /** Where it finds the streams; default: nowhere. */
  store?: DescriptorStore;
  /** Of a machine that is the agent's own. */
  memory?: MachineMemory | undefined;
}

/** The highest signal number, see signal(7): SIGRTMAX. */
const SIGNAL_MAX = 64;

/** What the bridge has no words for. */
export type CreateChoices = Partial<Pick<CreateContext, 'runtime' | 'signal' | 'door' | 'restore'>>;

/** The utility VM: its containers, and the processes that run outside of them. */
export class Uvm implements UvmOperations {
  readonly #dependencies: UvmDependencies;
  readonly #streams: StreamFactory;
  readonly #containers = new Map<string, Container>();
  /** Creates that have not finished, by the ids they take. Never reject. */
  readonly #creating = new Map<string, Promise<void>>();
  /** Aborted when the agent ends: from then on nothing new is made. */
  readonly #end = new AbortController();
  readonly #pods = new Pods();
  readonly #claims = new BundleClaims();
  readonly #processes: UvmProcesses;
  readonly #exits = new ExitEvents();
  readonly #lifecycle = new Lifecycle();
  readonly #journal: Journal;
  #management: Promise<Management> | undefined;
  readonly resources: LazyResources;
  readonly network: Namespaces;
  readonly securityPolicy: SecurityPolicy;

  constructor(dependencies: UvmDependencies) {
    this.#dependencies = dependencies;
    const { journal = new Journal(undefined, dependencies.logger), store } = dependencies;
    this.#journal = journal;
    this.securityPolicy = new SecurityPolicy(journal);
    this.#streams = new StreamFactory(dependencies.transport, {
      policy: dependencies.drainPolicy,
      log: dependencies.logger.with({ target: 'stdio' }),
      ...(store === undefined ? {} : { store }),
    });
    this.#processes = new UvmProcesses(
      dependencies.reaper,
      this.#streams,
      dependencies.logger.with({ target: 'uvm' }),
      journal,
      this.#end.signal,
    );
    this.network = new Namespaces(dependencies.logger.with({ target: 'network' }), {}, journal);
    this.resources = new LazyResources({
      reaper: dependencies.reaper,
      transport: dependencies.transport,
      logger: dependencies.logger.with({ target: 'storage' }),
      journal,
      containerAt: (path) => this.#containerAt(path),
    });
  }

  /**
   * Takes up what an agent before this one has left: containers, processes and their streams go on,
   * and what it had half made is undone. Before anything else; never rejects.
   */
  async recover(): Promise<void> {
    const { path } = this.#journal;
    const names = (await this.#dependencies.store?.names()) ?? [];
    if (names.length === 0 && (path === undefined || !hasState(path))) return;
    const { recoverUvm } = await import('./recover.ts');
    await recoverUvm(path, {
      ...this.#dependencies,
      names,
      journal: this.#journal,
      streams: this.#streams,
      containers: this.#containers,
      processes: this.#processes,
      pods: this.#pods,
      claims: this.#claims,
      namespaces: this.network,
      resources: this.resources,
      securityPolicy: this.securityPolicy,
      exits: this.#exits,
      lifecycle: this.#lifecycle,
      end: this.#end.signal,
    });
  }

  /** Loads what the first create needs: for a moment in which nobody waits. Without it nothing is missing. */
  async prepare(): Promise<void> {
    await import('./create.ts');
  }

  async createContainer(request: CreateContainerRequest): Promise<void> {
    await this.#create(request, {});
  }

  async #create(request: CreateContainerRequest, choices: CreateChoices): Promise<Container> {
    const { id } = request;
    if (this.#containers.has(id) || this.#creating.has(id)) {
      throw new AgentError('container-exists', `container ${id} already exists`, {
        operation: 'create',
        containerId: id,
      });
    }
    if (this.#containers.size + this.#creating.size >= uvmLimits.containers) {
      throw new AgentError('limit', `more than ${uvmLimits.containers} containers`, {
        operation: 'create',
        containerId: id,
      });
    }
    const finished = Promise.withResolvers<void>();
    this.#creating.set(id, finished.promise);
    try {
      const { runtime, logger } = this.#dependencies;
      const { createContainer } = await import('./create.ts');
      const container = await createContainer(request, {
        runtime,
        signal: this.#end.signal,
        ...choices,
        streams: this.#streams,
        namespaces: this.network,
        pods: this.#pods,
        claims: this.#claims,
        logger,
        onExit: (exit) => this.#exits.emit(exit),
        lifecycle: this.#lifecycle,
        policyDocuments: this.securityPolicy.documents,
        journal: this.#journal,
        end: this.#end.signal,
      });
      this.#containers.set(id, container);
      return container;
    } catch (error) {
      this.#claims.release(id);
      throw error;
    } finally {
      this.#creating.delete(id);
      finished.resolve();
    }
  }

  async startInit(id: string, ports: StdioPorts): Promise<number> {
    return await this.#container(id).start(ports);
  }

  async exec(id: string, process: OciProcess, ports: StdioPorts): Promise<number> {
    return await this.#container(id).exec(process, ports);
  }

  async execInUvm(request: UvmProcessRequest): Promise<number> {
    return await this.#processes.start(request);
  }

  async wait(
    target: Target,
    pid: number,
    timeoutMs: number | undefined,
    signal: AbortSignal,
  ): Promise<number> {
    return await this.#process(target, pid).wait(timeoutMs, signal);
  }

  async signal(target: Target, pid: number, signal: number): Promise<void> {
    if (!Number.isInteger(signal) || signal < 1 || signal > SIGNAL_MAX) {
      throw new AgentError('invalid-argument', `Options.Signal: ${signal} is not a signal number`, {
        operation: 'signal',
        field: 'Options.Signal',
      });
    }
    if (target === null) this.#process(null, pid).signal(signal);
    else this.#container(target).signal(pid, signal);
  }

  async resize(target: Target, pid: number, size: WindowSize): Promise<void> {
    this.#process(target, pid).resize(size);
  }

  async shutdownContainer(id: string, how: 'graceful' | 'forced'): Promise<void> {
    this.#container(id).shutdown(how);
  }

  async shutdownUvm(how: 'graceful' | 'forced'): Promise<void> {
    await this.#dependencies.power.shutdown(how);
  }

  async processes(id: string): Promise<{ pid: number }[]> {
    const container = this.#container(id);
    const inside = container.init.running ? await container.runtime.processes() : [];
    const pids = new Set(inside.map((process) => process.pid));
    // Processes that ended and that nobody has waited for yet are still known to the host.
    for (const process of container.processes) pids.add(process.pid);
    return [...pids].map((pid) => ({ pid }));
  }

  async statistics(id: string): Promise<Metrics> {
    return await containerStatistics(this.#container(id));
  }

  async updateResources(id: string, resources: OciLinuxResources): Promise<void> {
    await this.#container(id).update(resources);
  }

  async deleteContainer(id: string, options: { force?: boolean } = {}): Promise<void> {
    const container = this.#container(id);
    await container.delete(options);
    this.#containers.delete(id);
    this.#claims.release(id);
  }

  async refreshPodsLimit(): Promise<void> {
    const { memory } = this.#dependencies;
    if (memory !== undefined) return memory.refresh();
    throw new AgentError('not-supported', 'pods have no common memory limit on this machine', {
      operation: 'modify',
    });
  }

  /** Loaded when first asked for: who is never managed pays nothing. */
  management(): Promise<ManagementOperations> {
    this.#management ??= this.#loadManagement();
    return this.#management;
  }

  async #loadManagement(): Promise<Management> {
    const { Management } = await import('./management/management.ts');
    const { runtime, runtimes = oneRuntime(runtime), reaper, logger } = this.#dependencies;
    const { bundles = '/run/gcs/b' } = this.#dependencies;
    return new Management({
      containers: this.#containers,
      creating: () => this.#creating.keys(),
      find: (id) => this.#container(id),
      create: (request, choices) => this.#create(request, choices),
      delete: (id, options) => this.deleteContainer(id, options),
      runtimes,
      bundles,
      lifecycle: this.#lifecycle,
      end: this.#end.signal,
      reaper,
      logger: logger.with({ target: 'management' }),
    });
  }

  describe(): string[] {
    return [
      ...describeUvm(this.#containers.values(), this.#creating.keys(), this.#processes.table),
      ...this.#pods.describe(),
      this.network.describe(),
      ...this.resources.describe(),
    ];
  }

  onContainerExit(receiver: (exit: ContainerExit) => void): void {
    this.#exits.receive(receiver);
  }

  /**
   * Ends every container and every process of the VM that the host started, and what is being
   * made: it is not finished but undone.
   */
  async destroy(): Promise<void> {
    this.#end.abort(new AgentError('cancelled', 'the agent is ending'));
    for (const process of this.#processes.table) {
      process.kill();
      process.abortStreams();
    }
    await Promise.all(this.#creating.values());
    const all = [...this.#containers.values()];
    // What the containers of a pod have mounted is their sandbox's to unmount.
    const sandboxes = all.filter(({ id }) => this.#pods.isSandbox(id));
    const failures = [
      ...(await this.#destroyAll(all.filter((container) => !sandboxes.includes(container)))),
      ...(await this.#destroyAll(sandboxes)),
    ];
    await this.network.destroy();
    await this.resources.destroy();
    if (failures.length > 0) throw new AggregateError(failures, 'not every container was removed');
    this.#journal.clear();
  }

  /** Errors of those that could not be. */
  async #destroyAll(containers: readonly Container[]): Promise<unknown[]> {
    const results = await Promise.allSettled(
      containers.map(async (container) => {
        await container.destroy();
        this.#containers.delete(container.id);
      }),
    );
    for (const result of results) {
      if (result.status === 'rejected') {
        this.#dependencies.logger.error('container not removed', { error: result.reason });
      }
    }
    return results.flatMap((r) => (r.status === 'rejected' ? [r.reason as unknown] : []));
  }

  /** The container that has its root at or below a path and has not ended. */
  #containerAt(path: string): string | undefined {
    for (const { id, spec, status } of this.#containers.values()) {
      const root = spec.root?.path;
      if (status !== 'stopped' && root !== undefined && isAtOrBelow(root, path)) return id;
    }
    return undefined;
  }

  #container(id: string): Container {
    const container = this.#containers.get(id);
    if (container !== undefined) return container;
    if (this.#creating.has(id)) {
      throw new AgentError('container-busy', `container ${id} is still being created`, {
        containerId: id,
      });
    }
    throw new AgentError('container-not-found', `container ${id} not found`, { containerId: id });
  }

  #process(target: Target, pid: number): GuestProcess {
    if (target !== null) return this.#container(target).process(pid);
    const process = this.#processes.table.get(pid);
    if (process === undefined) {
      throw new AgentError('process-not-found', `the VM has no process ${pid} started by the host`);
    }
    return process;
  }
}
