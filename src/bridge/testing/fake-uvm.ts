import { emptyMetrics } from '../../cgroup/metrics.ts';
import { AgentError } from '../../errors.ts';
import type { ContainerExit, UvmOperations } from '../../uvm/operations.ts';

export type Call = readonly [operation: string, ...args: unknown[]];

/** A VM that does nothing but remember what it was asked; each test gives it the answers it needs. */
export class FakeUvm {
  readonly calls: Call[] = [];
  #receiver: ((exit: ContainerExit) => void) | undefined;
  readonly operations: UvmOperations;

  constructor(answers: Partial<UvmOperations> = {}) {
    const record = <T>(operation: string, answer: T) => {
      return async (...args: unknown[]): Promise<T> => {
        this.calls.push([operation, ...args.filter((arg) => !(arg instanceof AbortSignal))]);
        return answer;
      };
    };
    this.operations = {
      createContainer: record('createContainer', undefined),
      startInit: record('startInit', 100),
      exec: record('exec', 101),
      execInUvm: record('execInUvm', 102),
      wait: record('wait', 0),
      signal: record('signal', undefined),
      resize: record('resize', undefined),
      shutdownContainer: record('shutdownContainer', undefined),
      shutdownUvm: record('shutdownUvm', undefined),
      processes: record('processes', []),
      statistics: record('statistics', emptyMetrics()),
      updateResources: record('updateResources', undefined),
      deleteContainer: record('deleteContainer', undefined),
      refreshPodsLimit: record('refreshPodsLimit', undefined),
      network: {
        add: record('network.add', undefined),
        remove: record('network.remove', undefined),
      },
      resources: {
        add: record('resources.add', undefined),
        remove: record('resources.remove', undefined),
        unplugDisk: record('resources.unplugDisk', undefined),
        awaitPciDevice: record('resources.awaitPciDevice', undefined),
      },
      securityPolicy: {
        set: record('securityPolicy.set', undefined),
        addFragment: record('securityPolicy.addFragment', undefined),
      },
      describe: () => ['containers\n  none'],
      onContainerExit: (receiver) => {
        this.#receiver = receiver;
      },
      ...answers,
    };
  }

  /** What opening it does first. */
  opening: () => Promise<void> = async () => {};

  async open(): Promise<UvmOperations> {
    await this.opening();
    return this.operations;
  }

  exit(containerId: string, type: ContainerExit['type'] = 'UnexpectedExit'): void {
    if (this.#receiver === undefined) throw new Error('nobody listens for exits');
    this.#receiver({ containerId, type });
  }
}

/** Processes that run until they are told to end; waits like the real ones, signal included. */
export class FakeProcesses {
  readonly #waits = new Map<number, Set<(code: number) => void>>();
  /** Waits that were given up through their AbortSignal. */
  cancelled = 0;

  get waiting(): number {
    let count = 0;
    for (const waits of this.#waits.values()) count += waits.size;
    return count;
  }

  readonly wait: UvmOperations['wait'] = (_target, pid, _timeoutMs, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const waits = this.#waits.get(pid) ?? new Set();
    this.#waits.set(pid, waits.add(resolve));
    signal.addEventListener('abort', () => {
      if (!waits.delete(resolve)) return;
      this.cancelled += 1;
      reject(AgentError.from(signal.reason));
    });
    return promise;
  };

  end(pid: number, code: number): void {
    for (const resolve of this.#waits.get(pid) ?? []) resolve(code);
    this.#waits.delete(pid);
  }
}
