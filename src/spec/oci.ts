/**
 * The parts of the OCI runtime specification (1.2, config.md and config-linux.md) this agent
 * reads or edits. Objects carry every other field along untouched. Integers outside ±2^53 are
 * bigint (src/json.ts).
 */
export type Integer = number | bigint;

export interface OciUser {
  uid?: number;
  gid?: number;
  additionalGids?: number[];
  username?: string;
  [field: string]: unknown;
}

export interface OciRlimit {
  type: string;
  hard: Integer;
  soft: Integer;
}

export interface OciProcess {
  terminal?: boolean;
  consoleSize?: { height: number; width: number };
  user?: OciUser;
  args?: string[];
  env?: string[];
  cwd?: string;
  rlimits?: OciRlimit[];
  [field: string]: unknown;
}

export interface OciMount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
  [field: string]: unknown;
}

export interface OciNamespace {
  type: string;
  path?: string;
}

export interface OciLinuxResources {
  [field: string]: unknown;
}

export interface OciLinux {
  namespaces?: OciNamespace[];
  cgroupsPath?: string;
  resources?: OciLinuxResources;
  [field: string]: unknown;
}

export interface OciSpec {
  ociVersion?: string;
  process?: OciProcess;
  root?: { path: string; readonly?: boolean };
  hostname?: string;
  mounts?: OciMount[];
  annotations?: Record<string, string>;
  linux?: OciLinux;
  [field: string]: unknown;
}
