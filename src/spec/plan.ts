import { join, resolve } from 'node:path/posix';
import { AgentError } from '../errors.ts';
import {
  annotation,
  booleanAnnotation,
  type ContainerKind,
  parseContainerKind,
  type Warn,
} from './annotations.ts';
import { addAssignedDevices } from './assigned-devices.ts';
import { grantAllDevices, rereadDevices } from './devices.ts';
import {
  applyCoreLimit,
  applyShmSize,
  bindNetworkFiles,
  dropNetworkNamespace,
  dropWindows,
  missingNetworkFiles,
  type NetworkFile,
  networkFiles,
  setCgroup,
} from './edits.ts';
import { checkHostname, type DnsConfig, hostsFile, resolvConf } from './etc-files.ts';
import { invalid } from './fields.ts';
import { refuseGpu } from './gpu.ts';
import type { OciSpec } from './oci.ts';
import { type PlannedLog, planLog } from './pod-log.ts';
import {
  type PlannedSource,
  planPodMounts,
  podDirectoryOf,
  refusePodMounts,
} from './pod-mounts.ts';
import {
  type PlannedSecurityContext,
  type PolicyDocument,
  planSecurityContext,
} from './security-context.ts';
import { resolveUser } from './user.ts';

/** What the edits need to know of the world around the spec. */
export interface PlanContext {
  /** Nothing is added to the spec and nothing taken from it. */
  readonly verbatim?: boolean | undefined;
  /** The container's id, already checked. */
  readonly id: string;
  /** Its bundle directory, absolute. */
  readonly bundle: string;
  /** The VM's host name, for a spec that sets none. */
  readonly hostname: string;
  /** Name resolution of its network; default: none. */
  readonly dns?: DnsConfig;
  /** The pod of a sandbox, undefined for one there is not. */
  readonly pod?: (sandboxId: string) => PlannedPod | undefined;
  /** Offered to the container, which may decline them; default: none. */
  readonly policyDocuments?: readonly PolicyDocument[];
  /** Told of annotations that cannot be used. */
  readonly warn?: Warn;
}

/** What a workload takes over from its pod. */
export interface PlannedPod {
  readonly directory: string;
  /** The pod shares the VM's network. */
  readonly hostNetwork: boolean;
}

/** A file the bundle needs besides config.json. */
export interface PlannedFile {
  readonly path: string;
  readonly content: string;
}

export interface ContainerPlan {
  readonly kind: ContainerKind;
  /** What the runtime gets. */
  readonly spec: OciSpec;
  /** Of the bundle; those of a sandbox are the pod's. */
  readonly files: readonly PlannedFile[];
  /** To be found and pinned before the runtime creates the container. */
  readonly sources: readonly PlannedSource[];
  readonly log: PlannedLog | undefined;
  readonly securityContext: PlannedSecurityContext | undefined;
}

/**
 * The spec a container is created with, from the one the host sent and {@link parseSpec} checked:
 * hostname and network files, cgroup, mounts, devices, user, annotations. Writes nothing; reads the
 * container's user database, where a sandbox or workload names its user, and the devices and paths
 * of the VM that a workload names. A relative root path becomes absolute. AgentError
 * 'invalid-argument' names the field; 'not-supported' for what this agent cannot give.
 */
export async function planContainer(spec: OciSpec, context: PlanContext): Promise<ContainerPlan> {
  if (context.verbatim) return verbatimPlan(absoluteRoot(spec, context.bundle));
  const kind = parseContainerKind(context.id, spec);
  const planned = planKind(absoluteRoot(spec, context.bundle), kind, context);
  const { log, spec: logged } = planLog(planned.spec, planned.podDirectory);
  const documents = context.policyDocuments ?? [];
  const { securityContext, spec: told } = planSecurityContext(logged, documents, warnOf(context));
  return {
    kind,
    files: planned.files,
    sources: planned.sources,
    log,
    securityContext,
    spec: kind.kind === 'standalone' ? told : await withResolvedUser(told),
  };
}

/** What the runtime gets is what was asked for: for callers that are engines themselves. */
function verbatimPlan(spec: OciSpec): ContainerPlan {
  return {
    kind: { kind: 'standalone' },
    files: [],
    sources: [],
    log: undefined,
    securityContext: undefined,
    spec,
  };
}

interface PlannedKind {
  readonly spec: OciSpec;
  readonly files: readonly PlannedFile[];
  readonly sources: readonly PlannedSource[];
  /** Where the pod, or what is as good as one, has its directories. */
  readonly podDirectory: string;
}

function planKind(spec: OciSpec, kind: ContainerKind, context: PlanContext): PlannedKind {
  switch (kind.kind) {
    case 'standalone':
      return planStandalone(spec, context);
    case 'sandbox':
      return planSandbox(spec, kind, context);
    case 'workload':
      return planWorkload(spec, kind.sandboxId, context);
  }
}

function planStandalone(spec: OciSpec, context: PlanContext): PlannedKind {
  refusePodMounts(spec);
  refuseGpu(spec);
  const names = missingNetworkFiles(spec);
  const bound = bindNetworkFiles(spec, context.bundle, names);
  return {
    spec: dropWindows(setCgroup(withNetworkMode(bound, context), `/pods/${context.id}`)),
    files: networkFileContents(spec, context.bundle, names, context),
    sources: [],
    podDirectory: context.bundle,
  };
}

function planSandbox(
  spec: OciSpec,
  pod: { podId: string; virtual: boolean },
  context: PlanContext,
): PlannedKind {
  refusePodMounts(spec);
  const cgroup = `/pods/${pod.podId}/${context.id}`;
  const podDirectory = podDirectoryOf(pod, context.bundle);
  return {
    spec: dropWindows(setCgroup(applyCoreLimit(withNetworkMode(spec, context)), cgroup)),
    // Not mounted here: they are for the containers of the pod.
    files: networkFileContents(spec, podDirectory, networkFiles, context),
    sources: [],
    podDirectory,
  };
}

function planWorkload(spec: OciSpec, sandboxId: string, context: PlanContext): PlannedKind {
  const hostname = spec.hostname ?? '';
  if (hostname !== '') {
    const message = `workload container must not change hostname: ${hostname.slice(0, 255)}`;
    throw new AgentError('invalid-argument', message, { field: 'OciSpecification.hostname' });
  }
  refuseGpu(spec);
  const pod = context.pod?.(sandboxId);
  if (pod === undefined) {
    const field = `annotations.${annotation.sandboxId}`;
    throw invalid(`OciSpecification.${field}`, `there is no sandbox '${sandboxId}'`);
  }
  const privileged = booleanAnnotation(spec, annotation.privileged, false, warnOf(context));
  const reread = privileged ? grantAllDevices(spec) : rereadDevices(spec);
  const devices = addAssignedDevices(reread, warnOf(context));
  const { spec: mounted, sources } = planPodMounts(devices, pod.directory, context.bundle);
  const bound = bindNetworkFiles(mounted, pod.directory, missingNetworkFiles(mounted));
  const limited = applyCoreLimit(applyShmSize(bound));
  const placed = setCgroup(limited, `/pods/${sandboxId}/${context.id}`);
  return {
    spec: dropWindows(pod.hostNetwork ? dropNetworkNamespace(placed) : placed),
    files: [],
    sources,
    podDirectory: pod.directory,
  };
}

function warnOf(context: PlanContext): Warn {
  return context.warn ?? (() => {});
}

/** True for a sandbox or standalone container that shares the VM's network. */
export function sharesHostNetwork(spec: OciSpec, warn: Warn = () => {}): boolean {
  return booleanAnnotation(spec, annotation.hostNetwork, false, warn);
}

function withNetworkMode(spec: OciSpec, context: PlanContext): OciSpec {
  return sharesHostNetwork(spec, warnOf(context)) ? dropNetworkNamespace(spec) : spec;
}

function networkFileContents(
  spec: OciSpec,
  directory: string,
  names: readonly NetworkFile[],
  context: PlanContext,
): PlannedFile[] {
  checkHostname(spec.hostname ?? '', 'OciSpecification.hostname');
  const hostname = spec.hostname || context.hostname;
  const contents: Record<NetworkFile, () => string> = {
    hostname: () => `${hostname}\n`,
    hosts: () => hostsFile(hostname),
    'resolv.conf': () => resolvConf(context.dns ?? { searches: [], servers: [] }),
  };
  return names.map((name) => ({ path: join(directory, name), content: contents[name]() }));
}

/** OCI allows a root path relative to the bundle; an exec, which looks users up there, knows the spec only. */
function absoluteRoot(spec: OciSpec, bundle: string): OciSpec {
  if (spec.root === undefined) return spec;
  return { ...spec, root: { ...spec.root, path: resolve(bundle, spec.root.path) } };
}

/** Gives the process the ids of the user it names. The name stays: an exec without a user runs as this one. */
async function withResolvedUser(spec: OciSpec): Promise<OciSpec> {
  const user = spec.process?.user;
  if (user?.username === undefined || user.username === '') return spec;
  const field = 'OciSpecification.process.user.username';
  const ids = await resolveUser(spec.root?.path ?? '', user.username, field);
  return { ...spec, process: { ...spec.process, user: { ...user, ...ids } } };
}
