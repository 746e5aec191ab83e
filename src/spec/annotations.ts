import { AgentError } from '../errors.ts';
import type { OciSpec } from './oci.ts';

/** Annotations hosts send; the names are the contract. */
export const annotation = {
  containerType: 'io.kubernetes.cri.container-type',
  sandboxId: 'io.kubernetes.cri.sandbox-id',
  virtualPodId: 'io.microsoft.cri.virtual-pod-id',
  hostNetwork: 'io.microsoft.virtualmachine.lcow.hostnetwork',
  skipPodNetworking: 'io.microsoft.cri.skip-pod-networking',
  privileged: 'io.microsoft.virtualmachine.lcow.privileged',
  shmSizeKb: 'io.microsoft.lcow.shm.size-kb',
  rlimitCore: 'io.microsoft.lcow.rlimitcore',
  teeLogPath: 'io.microsoft.container.lcow.tee-log-path',
  teeLogDirMount: 'io.microsoft.container.lcow.tee-log-dir-mount',
  securityPolicyEnv: 'io.microsoft.virtualmachine.lcow.securitypolicy.env',
  gpuCapabilities: 'io.microsoft.container.gpu.capabilities',
} as const;

/** Gets what could not be used and is ignored. */
export type Warn = (message: string, fields: Record<string, unknown>) => void;

export type ContainerKind =
  /** A container of its own. */
  | { readonly kind: 'standalone' }
  /** First container of a pod, which holds the pod's namespaces. `virtual`: of one of several pods in the VM. */
  | { readonly kind: 'sandbox'; readonly podId: string; readonly virtual: boolean }
  /** A further container of a pod. */
  | { readonly kind: 'workload'; readonly sandboxId: string };

/** What a container is, by its annotations. AgentError 'invalid-argument' for a type there is not, or a workload without a usable sandbox id. */
export function parseContainerKind(id: string, spec: OciSpec): ContainerKind {
  const annotations = spec.annotations ?? {};
  const type = get(annotations, annotation.containerType);
  const virtualPodId = get(annotations, annotation.virtualPodId) ?? '';
  // The container a virtual pod is named after is its sandbox, whatever the host calls it.
  if (virtualPodId !== '' && virtualPodId === id)
    return { kind: 'sandbox', podId: id, virtual: true };

  switch (type) {
    case undefined:
      return { kind: 'standalone' };
    case 'sandbox':
      return {
        kind: 'sandbox',
        podId: virtualPodId === '' ? id : podName(virtualPodId, annotation.virtualPodId),
        virtual: virtualPodId !== '',
      };
    case 'container':
      if (virtualPodId !== '') {
        return { kind: 'workload', sandboxId: podName(virtualPodId, annotation.virtualPodId) };
      }
      return {
        kind: 'workload',
        sandboxId: podName(get(annotations, annotation.sandboxId) ?? '', annotation.sandboxId),
      };
    default:
      throw unsupported(annotation.containerType, type);
  }
}

function unsupported(name: string, value: string): AgentError {
  return new AgentError('invalid-argument', `unsupported '${name}': '${value}'`, {
    field: `OciSpecification.annotations.${name}`,
  });
}

/** An id that becomes a component of paths, under the rules of container ids. */
function podName(value: string, name: string): string {
  if (!/^[\w+.-]{1,255}$/.test(value) || value === '.' || value === '..') {
    throw unsupported(name, value);
  }
  return value;
}

/** An annotation's text; a name inherited from Object is none. */
export function get(annotations: Record<string, string>, name: string): string | undefined {
  return Object.hasOwn(annotations, name) ? annotations[name] : undefined;
}

const goTrue = ['1', 't', 'T', 'true', 'TRUE', 'True'];
const goFalse = ['0', 'f', 'F', 'false', 'FALSE', 'False'];

/** A boolean annotation in one of Go's forms; any other text is warned of and means `otherwise`. */
export function booleanAnnotation(
  spec: OciSpec,
  name: string,
  otherwise: boolean,
  warn: Warn,
): boolean {
  const value = get(spec.annotations ?? {}, name);
  if (value === undefined) return otherwise;
  if (goTrue.includes(value)) return true;
  if (goFalse.includes(value)) return false;
  warn(`annotation ${name} is not a boolean and is ignored`, { annotation: name, value });
  return otherwise;
}
