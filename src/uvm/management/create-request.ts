import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { isAbsolute } from 'node:path/posix';
import { AgentError } from '../../errors.ts';
import { parseJson } from '../../json.ts';
import { parseContainerId } from '../../runtime/container-id.ts';
import type { OciSpec } from '../../spec/oci.ts';
import type { DoorFacts } from '../../state/records.ts';
import { checkHostDirectory } from '../host-directory.ts';
import type { CreateRequest, LogPlan } from '../management-types.ts';
import type { CreateContainerRequest } from '../operations.ts';
import { checkSignal, invalid } from './check.ts';

/** Annotation an image's stop signal goes by (OCI image specification, conversion.md). */
const stopSignalAnnotation = 'org.opencontainers.image.stopSignal';

/**
 * A create as the VM takes it: the spec from wherever it is, changed as the request wants.
 *
 * @param bundles directory for a bundle of the agent's own
 */
export function planCreate(request: CreateRequest, bundles: string): CreateContainerRequest {
  const id = parseId(request.id);
  const given =
    request.bundle === undefined ? undefined : checkHostDirectory(request.bundle, 'bundle');
  const choices = { verbatim: request.verbatim, pivot: request.pivot };
  if (request.spec !== undefined) {
    const spec = changed(request.spec, request, given);
    return { id, bundle: given ?? join(bundles, id), spec, ...choices };
  }
  if (given === undefined) throw invalid('spec', 'neither a spec nor a bundle that has one');
  // A bundle that is somebody's stays as it is: the agent writes what it changes to one of its own.
  const spec = changed(readSpec(given), request, given);
  const own = { id, bundle: join(bundles, id), ...choices };
  if (request.verbatim !== true) return { ...own, spec };
  return {
    ...own,
    spec: withMountsFrom(given, spec),
    // Hooks are told where the bundle is: where its own file says all there is, that is the caller's.
    ...(changesSpec(request) ? {} : { namedBundle: realpathSync(given) }),
  };
}

function changesSpec({ rootfs, terminal, stopSignal, annotations = {} }: CreateRequest): boolean {
  const changes = [rootfs, terminal, stopSignal];
  return changes.some((change) => change !== undefined) || Object.keys(annotations).length > 0;
}

/** What an agent after this one has to know of it as well. */
export function doorFacts(request: CreateRequest): DoorFacts {
  const { bundle, spec, openStdin = false, log } = request;
  return {
    openStdin,
    ...(bundle === undefined || spec !== undefined ? {} : { origin: bundle }),
    ...(log === undefined ? {} : { log: ownLog(checkLog(log)) }),
  };
}

function ownLog(plan: LogPlan): NonNullable<DoorFacts['log']> {
  return { ...plan, made: !existsSync(plan.path) };
}

function checkLog({ path, maxBytes, maxFiles }: LogPlan): LogPlan {
  for (const [name, value, least] of [
    ['maxBytes', maxBytes, 0],
    ['maxFiles', maxFiles, 1],
  ] as const) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= least)) continue;
    throw invalid(`log.${name}`, `not an integer of at least ${least}`);
  }
  return {
    path: checkHostDirectory(path, 'log.path'),
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(maxFiles === undefined ? {} : { maxFiles }),
  };
}

/** Before it becomes part of a path. */
function parseId(id: string): string {
  try {
    return parseContainerId(id);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    throw new AgentError('invalid-container-id', text, { field: 'id', cause: error });
  }
}

function readSpec(bundle: string): OciSpec {
  const file = join(bundle, 'config.json');
  let parsed: unknown;
  try {
    parsed = parseJson(readFileSync(file, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AgentError('invalid-argument', `bundle: ${file} cannot be read: ${reason}`, {
      field: 'bundle',
      cause: error,
    });
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
    return parsed as OciSpec; // The VM checks what is in it.
  }
  throw invalid('bundle', `${file} holds no object`);
}

function changed(spec: OciSpec, request: CreateRequest, bundle: string | undefined): OciSpec {
  checkShape(spec);
  const { terminal, stopSignal, annotations } = request;
  if (stopSignal !== undefined) checkSignal(stopSignal, 'stopSignal');
  const added = {
    ...annotations,
    ...(stopSignal === undefined ? {} : { [stopSignalAnnotation]: String(stopSignal) }),
  };
  const root = rootOf(spec, request.rootfs, bundle);
  return {
    ...spec,
    ...(root === undefined ? {} : { root }),
    ...(terminal === undefined ? {} : { process: { ...spec.process, terminal } }),
    ...(Object.keys(added).length === 0 ? {} : { annotations: { ...spec.annotations, ...added } }),
  };
}

/** As much as is changed here; the VM checks the rest. */
function checkShape(spec: Readonly<Record<string, unknown>>): void {
  for (const name of ['process', 'root', 'annotations'] as const) {
    const value = spec[name] ?? {};
    if (!isObject(value)) throw invalid(`spec.${name}`, 'not an object');
    if (name !== 'root') continue;
    if (!['string', 'undefined'].includes(typeof value.path)) {
      throw invalid('spec.root.path', 'not a string');
    }
  }
  const mounts = spec.mounts ?? [];
  if (!Array.isArray(mounts) || !mounts.every(isObject)) {
    throw invalid('spec.mounts', 'not an array of objects');
  }
  const odd = mounts.findIndex(
    ({ source, options }) =>
      !['string', 'undefined'].includes(typeof source) ||
      !(options === undefined || Array.isArray(options)),
  );
  if (odd >= 0) throw invalid(`spec.mounts[${odd}]`, 'source is no string or options no array');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Sources of bind mounts count from the bundle (config.md, mounts), and the agent's is elsewhere. */
function withMountsFrom(bundle: string, spec: OciSpec): OciSpec {
  if (spec.mounts === undefined) return spec;
  const mounts = spec.mounts.map((mount) => {
    const { source, options = [] } = mount;
    const binds = mount.type === 'bind' || options.includes('bind') || options.includes('rbind');
    if (!binds || source === undefined || isAbsolute(source)) return mount;
    return { ...mount, source: join(bundle, source) };
  });
  return { ...spec, mounts };
}

/** Absolute: the agent's bundle is elsewhere. */
function rootOf(
  spec: OciSpec,
  rootfs: string | undefined,
  bundle: string | undefined,
): OciSpec['root'] {
  if (rootfs !== undefined) return { ...spec.root, path: checkHostDirectory(rootfs, 'rootfs') };
  const path = spec.root?.path;
  if (path === undefined || isAbsolute(path)) return spec.root;
  if (bundle === undefined) throw invalid('spec.root.path', 'must be absolute without a bundle');
  return { ...spec.root, path: join(bundle, path) };
}

/** The signal a container is asked to stop with: what its image says, else SIGTERM. */
export function stopSignalOf(spec: OciSpec): number {
  const named = spec.annotations?.[stopSignalAnnotation];
  try {
    return checkSignal(named ?? 'SIGTERM');
  } catch {
    return checkSignal('SIGTERM'); // Of an image that names none there is, as other engines do.
  }
}
