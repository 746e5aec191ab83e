import {
  array,
  boolean,
  keptObject,
  map,
  optional,
  rawObject,
  required,
  type Schema,
  string,
  u32,
  u64,
} from '../schema/schema.ts';
import type { OciLinuxResources, OciProcess, OciSpec } from './oci.ts';

// Only what the agent itself reads is checked here; all else goes to the runtime as it came, and
// the runtime is the judge of it.

/** Names what a schema decodes to; the compiler checks it. Encoding takes the same type, whose kept fields are written as they are. */
const as = <T>(schema: Schema<T, never>): Schema<T> => schema as Schema<T>;

const user = keptObject({
  uid: optional(u32),
  gid: optional(u32),
  additionalGids: optional(array(u32)),
  username: optional(string),
});

/** `process` of an OCI runtime specification (config.md, "Process"). */
export const ociProcess = as<OciProcess>(
  keptObject({
    terminal: optional(boolean),
    consoleSize: optional(keptObject({ height: u32, width: u32 })),
    user: optional(user),
    args: optional(array(string)),
    env: optional(array(string)),
    cwd: optional(string),
    rlimits: optional(array(keptObject({ type: string, hard: u64, soft: u64 }))),
  }),
);

const mount = keptObject({
  destination: string,
  type: optional(string),
  source: optional(string),
  options: optional(array(string)),
});

export const ociLinuxResources: Schema<OciLinuxResources> = rawObject;

const linux = keptObject({
  namespaces: optional(array(keptObject({ type: string, path: optional(string) }))),
  cgroupsPath: optional(string),
  resources: optional(ociLinuxResources),
});

/** An OCI runtime specification that a Linux container can be made of. */
export const ociSpec = as<OciSpec>(
  keptObject({
    ociVersion: optional(string),
    process: required(ociProcess),
    root: optional(keptObject({ path: string, readonly: optional(boolean) })),
    hostname: optional(string),
    mounts: optional(array(mount)),
    annotations: optional(map(string)),
    linux: required(linux),
  }),
);
