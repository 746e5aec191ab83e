import { AgentError } from '../errors.ts';
import { annotation } from '../spec/annotations.ts';
import { invalid } from '../spec/fields.ts';
import type { PlannedPod } from '../spec/plan.ts';

/** A container's place in a pod, from before the container is created until it has been deleted. */
export interface PodPlace {
  /**
   * The container is to be deleted: AgentError 'container-not-stopped' for a sandbox that still has
   * containers, which it names. From now on nobody joins a sandbox's pod.
   */
  leave(): void;
  /** It was not deleted after all. */
  stay(): void;
  /** It is gone, or was never created. */
  [Symbol.dispose](): void;
}

/** Containers that share a sandbox: its namespaces, its directory, its cgroup. */
class Pod implements PlannedPod {
  readonly id: string;
  readonly sandboxId: string;
  readonly directory: string;
  readonly hostNetwork: boolean;
  readonly workloads = new Set<string>();
  state: 'opening' | 'open' | 'closing' = 'opening';

  constructor(id: string, sandboxId: string, { directory, hostNetwork }: PlannedPod) {
    this.id = id;
    this.sandboxId = sandboxId;
    this.directory = directory;
    this.hostNetwork = hostNetwork;
  }
}

/** The pods of the VM by id: that of the sandbox, or the one that several pods in a VM are told apart by. */
export class Pods {
  readonly #pods = new Map<string, Pod>();

  /** The pod a container may be planned for. AgentError 'container-busy' while it is being made or removed. */
  find(podId: string): PlannedPod | undefined {
    const pod = this.#pods.get(podId);
    if (pod === undefined || pod.state === 'open') return pod;
    const what = pod.state === 'opening' ? 'created' : 'deleted';
    throw new AgentError('container-busy', `sandbox ${pod.sandboxId} is being ${what}`, {
      operation: 'create',
      containerId: pod.sandboxId,
    });
  }

  /** Makes the pod of a sandbox that is being created. AgentError 'container-exists' when there is one of that id. */
  open(podId: string, sandboxId: string, facts: PlannedPod): PodPlace & { opened(): void } {
    const other = this.#pods.get(podId);
    if (other !== undefined) {
      throw new AgentError('container-exists', `pod ${podId} has a sandbox: ${other.sandboxId}`, {
        operation: 'create',
        containerId: sandboxId,
      });
    }
    const pod = new Pod(podId, sandboxId, facts);
    this.#pods.set(podId, pod);
    return {
      opened: () => {
        pod.state = 'open';
      },
      leave: () => close(pod),
      stay: () => {
        pod.state = 'open';
      },
      [Symbol.dispose]: () => void this.#pods.delete(podId),
    };
  }

  /** Adds a container that is being created. */
  join(podId: string, containerId: string): PodPlace {
    // Looked up again: the plan took its time.
    if (this.find(podId) === undefined) {
      const field = `OciSpecification.annotations.${annotation.sandboxId}`;
      throw invalid(field, `there is no sandbox '${podId}'`);
    }
    const pod = this.#pods.get(podId) as Pod;
    pod.workloads.add(containerId);
    return {
      leave: () => {},
      stay: () => {},
      [Symbol.dispose]: () => void pod.workloads.delete(containerId),
    };
  }

  /** True for the container that others need. */
  isSandbox(containerId: string): boolean {
    return [...this.#pods.values()].some((pod) => pod.sandboxId === containerId);
  }

  /** A line for each pod, for DumpStacks. */
  describe(): string[] {
    if (this.#pods.size === 0) return [];
    const lines = [...this.#pods.values()].map((pod) => {
      const network = pod.hostNetwork ? ' in the network of the VM' : '';
      const workloads = pod.workloads.size === 0 ? 'none' : [...pod.workloads].join(', ');
      return `  ${pod.id}: sandbox ${pod.sandboxId}${network}, containers: ${workloads}`;
    });
    return [['pods', ...lines].join('\n')];
  }
}

/** Names enough of them to go on with. */
const namedAtMost = 5;

function close(pod: Pod): void {
  if (pod.workloads.size > 0) {
    const names = [...pod.workloads];
    const more = names.length > namedAtMost ? ` and ${names.length - namedAtMost} more` : '';
    const list = names.slice(0, namedAtMost).join(', ');
    throw new AgentError(
      'container-not-stopped',
      `sandbox ${pod.sandboxId} still has containers: ${list}${more}`,
      { operation: 'delete', containerId: pod.sandboxId },
    );
  }
  pod.state = 'closing';
}
