import { join } from 'node:path/posix';
import { annotation, get } from './annotations.ts';
import { checkBelow } from './edits.ts';
import { invalid } from './fields.ts';
import type { OciMount, OciSpec } from './oci.ts';
import { podDirectories } from './pod-mounts.ts';

/** What a container has to do with the log directory of its pod. */
export interface PlannedLog {
  readonly directory: string;
  /** File below it that init's output is also written to. */
  readonly path: string | undefined;
  /** For errors. */
  readonly field: string;
}

/**
 * Reads the log annotations: a file that gets a copy of init's output, and a place in the container
 * where the log directory of the pod is mounted. Both may be had without the other. Undefined
 * without either. AgentError 'invalid-argument' for a path that leaves the log directory.
 */
export function planLog(
  spec: OciSpec,
  podDirectory: string,
): { spec: OciSpec; log: PlannedLog | undefined } {
  const annotations = spec.annotations ?? {};
  const path = get(annotations, annotation.teeLogPath) ?? '';
  const destination = get(annotations, annotation.teeLogDirMount) ?? '';
  if (path === '' && destination === '') return { spec, log: undefined };
  const directory = join(podDirectory, podDirectories.logs);
  const field = `OciSpecification.annotations.${annotation.teeLogPath}`;
  const log = { directory, field, path: path === '' ? undefined : logFile(path, field) };
  return { spec: destination === '' ? spec : mountLogs(spec, directory, destination), log };
}

function logFile(path: string, field: string): string {
  const below = checkBelow(path, field);
  if (below === '' || path.endsWith('/')) throw invalid(field, 'names no file');
  return below;
}

function mountLogs(spec: OciSpec, source: string, annotated: string): OciSpec {
  const field = `OciSpecification.annotations.${annotation.teeLogDirMount}`;
  const below = checkBelow(annotated, field);
  if (below === '') throw invalid(field, 'must not be the root directory');
  const mount: OciMount = { destination: `/${below}`, type: 'bind', source, options: ['bind'] };
  return { ...spec, mounts: [...(spec.mounts ?? []), mount] };
}
