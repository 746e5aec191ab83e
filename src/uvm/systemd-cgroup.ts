import { AgentError } from '../errors.ts';
import type { OciSpec } from '../spec/oci.ts';
import type { ContainerPlan } from '../spec/plan.ts';

/**
 * The spec as a runtime with systemd's cgroups wants it: not a path but SLICE:PREFIX:NAME, from which
 * it has systemd make the scope PREFIX-NAME (runc, docs/systemd.md). AgentError 'not-supported' for
 * the containers of a pod, whose common cgroup the agent makes itself.
 */
export function withSystemdCgroup(id: string, { kind, spec }: ContainerPlan): OciSpec {
  const path = spec.linux?.cgroupsPath;
  if (path?.split(':').length === 3) return spec;
  if (kind.kind !== 'standalone') {
    throw new AgentError('not-supported', 'with cgroups of systemd there are no pods', {
      operation: 'create',
      containerId: id,
    });
  }
  return { ...spec, linux: { ...spec.linux, cgroupsPath: `pods.slice:gcs:${id}` } };
}
