import { join } from 'node:path/posix';
import { annotation, booleanAnnotation, type Warn } from './annotations.ts';
import type { OciSpec } from './oci.ts';

/** A text that is offered to containers as a file: the policy they run under, what proves the VM. */
export interface PolicyDocument {
  /** File name, as containers look for it: "security-policy-base64". */
  readonly name: string;
  readonly content: string;
}

/** Documents to be written into a container's root. */
export interface PlannedSecurityContext {
  /** In the VM; does not exist yet. */
  readonly directory: string;
  readonly documents: readonly PolicyDocument[];
}

/**
 * Offers the documents to a container: in a directory of its root that UVM_SECURITY_CONTEXT_DIR
 * names. Nothing without documents, nor when the annotation declines them.
 */
export function planSecurityContext(
  spec: OciSpec,
  documents: readonly PolicyDocument[],
  warn: Warn,
): { spec: OciSpec; securityContext: PlannedSecurityContext | undefined } {
  const wanted = booleanAnnotation(spec, annotation.securityPolicyEnv, true, warn);
  const root = spec.root?.path;
  if (!wanted || documents.length === 0 || root === undefined) {
    return { spec, securityContext: undefined };
  }
  // Made exclusively later on: a name of the image cannot stand in for it.
  const name = `security-context-${Math.random().toString(36).slice(2, 12)}`;
  const env = [...(spec.process?.env ?? []), `UVM_SECURITY_CONTEXT_DIR=/${name}`];
  return {
    spec: { ...spec, process: { ...spec.process, env } },
    securityContext: { directory: join(root, name), documents },
  };
}
