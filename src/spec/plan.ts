import { join, resolve } from 'node:path/posix';
import { AgentError } from '../errors.ts';
import {
  annotation,
  booleanAnnotation,
  type ContainerKind,
  parseContainerKind,
  type Warn,
} from './annotations.ts';
import {
  applyCoreLimit,
  applyShmSize,
  bindNetworkFiles,
  dropNetworkNamespace,
  dropWindows,
  missingNetworkFiles,
  type NetworkFile,
  networkFiles,
  refuseUnsupported,
  setCgroup,
} from './edits.ts';
import { checkHostname, type DnsConfig, hostsFile, resolvConf } from './etc-files.ts';
import { invalid } from './fields.ts';
import type { OciSpec } from './oci.ts';
import { resolveUser } from './user.ts';

/** What the edits need to know of the world around the spec. */
export interface PlanContext {
  /** The container's id, already checked. */
  readonly id: string;
  /** Its bundle directory, absolute. */
  readonly bundle: string;
  /** The VM's host name, for a spec that sets none. */
  readonly hostname: string;
  /** Name resolution of its network; default: none. */
  readonly dns?: DnsConfig;
  /** Directory of a pod's files, undefined for a pod there is not. */
  readonly podDirectory?: (sandboxId: string) => string | undefined;
  /** Told of annotations that cannot be used. */
  readonly warn?: Warn;
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
  readonly files: readonly PlannedFile[];
}

/**
 * The spec a container is created with, from the one the host sent and {@link parseSpec} checked:
 * hostname and network files, cgroup, user, annotations. Writes nothing; reads nothing but the
 * container's user database, where a sandbox or workload names its user. A relative root path
 * becomes absolute. AgentError 'invalid-argument' names the field; 'not-supported' for what a
 * workload asks that is not built.
 */
export async function planContainer(spec: OciSpec, context: PlanContext): Promise<ContainerPlan> {
  const kind = parseContainerKind(context.id, spec);
  const rooted = absoluteRoot(spec, context.bundle);
  switch (kind.kind) {
    case 'standalone':
      return { kind, ...planStandalone(rooted, context) };
    case 'sandbox': {
      const plan = planSandbox(rooted, kind.podId, context);
      return { kind, ...plan, spec: await withResolvedUser(plan.spec) };
    }
    case 'workload': {
      const edited = planWorkload(rooted, kind.sandboxId, context);
      return { kind, files: [], spec: await withResolvedUser(edited) };
    }
  }
}

type Planned = Pick<ContainerPlan, 'spec' | 'files'>;

function planStandalone(spec: OciSpec, context: PlanContext): Planned {
  const names = missingNetworkFiles(spec);
  const bound = bindNetworkFiles(spec, context.bundle, names);
  return {
    spec: dropWindows(setCgroup(withNetworkMode(bound, context), `/pods/${context.id}`)),
    files: networkFileContents(spec, names, context),
  };
}

function planSandbox(spec: OciSpec, podId: string, context: PlanContext): Planned {
  const cgroup = `/pods/${podId}/${context.id}`;
  return {
    spec: dropWindows(setCgroup(applyCoreLimit(withNetworkMode(spec, context)), cgroup)),
    // Not mounted here: they are for the containers of the pod.
    files: networkFileContents(spec, networkFiles, context),
  };
}

function planWorkload(spec: OciSpec, sandboxId: string, context: PlanContext): OciSpec {
  const hostname = spec.hostname ?? '';
  if (hostname !== '') {
    const message = `workload container must not change hostname: ${hostname.slice(0, 255)}`;
    throw new AgentError('invalid-argument', message, { field: 'OciSpecification.hostname' });
  }
  const warn = context.warn ?? (() => {});
  refuseUnsupported(spec, booleanAnnotation(spec, annotation.privileged, false, warn));
  const directory = context.podDirectory?.(sandboxId);
  if (directory === undefined) {
    const field = `annotations.${annotation.sandboxId}`;
    throw invalid(`OciSpecification.${field}`, `there is no sandbox '${sandboxId}'`);
  }
  const bound = bindNetworkFiles(spec, directory, missingNetworkFiles(spec));
  const limited = applyCoreLimit(applyShmSize(bound));
  return dropWindows(setCgroup(limited, `/pods/${sandboxId}/${context.id}`));
}

function withNetworkMode(spec: OciSpec, context: PlanContext): OciSpec {
  const warn = context.warn ?? (() => {});
  const shared = booleanAnnotation(spec, annotation.hostNetwork, false, warn);
  return shared ? dropNetworkNamespace(spec) : spec;
}

function networkFileContents(
  spec: OciSpec,
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
  return names.map((name) => ({ path: join(context.bundle, name), content: contents[name]() }));
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
