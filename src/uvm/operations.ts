import type { Metrics } from '../cgroup/metrics.ts';
import type { AdapterSettings } from '../network/settings.ts';
import type { WindowSize } from '../os/pty.ts';
import type { OciLinuxResources, OciProcess, OciSpec } from '../spec/oci.ts';
import type { StdioPorts } from '../stdio/stdio.ts';
import type { StorageResource } from '../storage/resource.ts';

/** A container of this VM, or null for the VM itself (the protocol's null container). */
export type Target = string | null;

export interface CreateContainerRequest {
  id: string;
  /** Directory for config.json; made when missing, removed again when the create fails. */
  bundle: string;
  spec: OciSpec;
  /** Removed on delete. */
  scratchDir?: string;
  /** The runtime gets the spec as it is: no pod's cgroup, no network files. */
  verbatim?: boolean | undefined;
  /** The runtime pivots to the container's root where the agent's own root lets it; else it moves there. */
  pivot?: boolean | undefined;
  /** Told to the runtime as the bundle: the caller's, with this very spec. Nothing in it is written or removed. */
  namedBundle?: string | undefined;
}

/** A process of the VM itself, outside every container. */
export interface UvmProcessRequest {
  /** argv; the program is looked up in the agent's own PATH. */
  args: readonly string[];
  cwd?: string;
  /** Only these variables. */
  env: Readonly<Record<string, string>>;
  terminal: boolean;
  /** Initial size of the terminal. */
  size?: WindowSize;
  ports: StdioPorts;
}

export type ContainerExitType = 'GracefulExit' | 'ForcedExit' | 'UnexpectedExit';

/** Sent once per container, after its init has ended, its output is drained and who waited has been answered. */
export interface ContainerExit {
  containerId: string;
  type: ContainerExitType;
  /** Its processes that the kernel killed for memory, when it was that which ended it. */
  memoryKills?: number;
  /** To be called when the host has it. */
  told?: () => void;
}

/** Disks, layers and shares of the VM. */
export interface ResourceOperations {
  /** Everything or nothing. */
  add(resource: StorageResource): Promise<void>;
  /**
   * Undoes an add. Refused, with the user's name, while something stands on it. After a failure it
   * can be asked again and goes on where it stopped; of what was removed before it says so.
   */
  remove(resource: StorageResource): Promise<void>;
  /** Takes a SCSI disk off the guest's bus, so that the host can detach it. Refused while it is mounted. */
  unplugDisk(disk: { controller: number; lun: number }): Promise<void>;
  /** Resolves when an assigned PCI device is there. */
  awaitPciDevice(id: string): Promise<void>;
}

/** Network adapters of the VM, and the namespaces they are for. */
export interface NetworkOperations {
  /** Also into a container that has the namespace already. Everything or nothing; the namespace stays. */
  add(adapter: AdapterSettings): Promise<void>;
  /** An adapter or a namespace there is not is no error. */
  remove(adapter: Pick<AdapterSettings, 'NamespaceID' | 'ID'>): Promise<void>;
}

/** As hosts send it; all but the first are base64. */
export interface SecurityPolicySettings {
  readonly EnforcerType: string;
  readonly EncodedSecurityPolicy: string;
  readonly EncodedUVMReference: string;
  readonly EncodedUVMHashEnvelopeReference: string;
}

/** What containers may do. */
export interface SecurityPolicyOperations {
  /** Once. 'not-supported' for one that forbids anything. */
  set(settings: SecurityPolicySettings): Promise<void>;
  /** Base64. */
  addFragment(fragment: string): Promise<void>;
}

/** All the host can ask of the VM: what the bridge calls and src/uvm implements. Every rejection is an AgentError. */
export interface UvmOperations {
  createContainer(request: CreateContainerRequest): Promise<void>;
  /** Starts the init process of a created container; resolves with its pid. */
  startInit(id: string, ports: StdioPorts): Promise<number>;
  exec(id: string, process: OciProcess, ports: StdioPorts): Promise<number>;
  execInUvm(request: UvmProcessRequest): Promise<number>;
  /** Resolves with the exit code (128 + signal) once the process has ended and its output is drained. `timeoutMs` undefined = no limit; 'wait-timeout' when it elapsed. */
  wait(
    target: Target,
    pid: number,
    timeoutMs: number | undefined,
    signal: AbortSignal,
  ): Promise<number>;
  signal(target: Target, pid: number, signal: number): Promise<void>;
  resize(target: Target, pid: number, size: WindowSize): Promise<void>;
  /** SIGTERM or SIGKILL to the container; resolves when it is sent. */
  shutdownContainer(id: string, how: 'graceful' | 'forced'): Promise<void>;
  /** Never answered on the wire: the VM goes down, or, outside a VM, the agent ends. */
  shutdownUvm(how: 'graceful' | 'forced'): Promise<void>;
  processes(id: string): Promise<{ pid: number }[]>;
  statistics(id: string): Promise<Metrics>;
  updateResources(id: string, resources: OciLinuxResources): Promise<void>;
  deleteContainer(id: string): Promise<void>;
  /** Fits the memory limit of all pods to the memory the VM has now. 'not-supported' where the agent sets none. */
  refreshPodsLimit(): Promise<void>;
  readonly resources: ResourceOperations;
  readonly network: NetworkOperations;
  readonly securityPolicy: SecurityPolicyOperations;
  /** Text sections for DumpStacks: containers, processes, streams. Most important first; the caller cuts. */
  describe(): string[];
  /** Registers the one receiver of exit events. Events that came before are delivered at once. */
  onContainerExit(receiver: (exit: ContainerExit) => void): void;
}
