import { existsSync } from 'node:fs';
import { join } from 'node:path/posix';
import { AgentError } from '../errors.ts';
import { annotation, get } from './annotations.ts';
import type { OciSpec } from './oci.ts';

/** The program of the driver's package that prepares a container for a GPU. */
const driverTool = 'nvidia-container-cli';

interface WindowsDevice {
  readonly idType?: unknown;
}

/** True when the spec names a GPU among the devices the host has assigned, or capabilities of one. */
function wantsGpu(spec: OciSpec): boolean {
  const windows = spec.windows as { devices?: unknown } | undefined;
  const devices = Array.isArray(windows?.devices) ? (windows.devices as WindowsDevice[]) : [];
  return (
    devices.some((device) => device?.idType === 'gpu') ||
    (get(spec.annotations ?? {}, annotation.gpuCapabilities) ?? '') !== ''
  );
}

/** Refuses a container that wants a GPU, rather than run it without: AgentError 'not-supported'. */
export function refuseGpu(spec: OciSpec, searchPath = process.env.PATH ?? ''): void {
  if (!wantsGpu(spec)) return;
  const installed = searchPath
    .split(':')
    .some((directory) => existsSync(join(directory, driverTool)));
  const reason = installed
    ? 'GPUs cannot be assigned by this agent'
    : `this VM has no GPU driver: ${driverTool} is not in PATH`;
  const field = `OciSpecification.annotations.${annotation.gpuCapabilities}`;
  throw new AgentError('not-supported', `${field}: ${reason}`, { field });
}
