import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { OciSpec } from '../../spec/oci.ts';

/** The parts of a bundle's config.json that decide how the runtime is driven. */
export interface BundleFacts {
  /** Absolute path of the root file system; undefined when the spec names none. */
  readonly rootfs: string | undefined;
  readonly cwd: string;
  readonly terminal: boolean;
  readonly ownsPidNamespace: boolean;
  /** Its root may be moved to instead of pivoted to. */
  readonly canMoveRoot: boolean;
  /** Programs to run once init runs. */
  readonly hasPoststartHooks: boolean;
  /** Bytes; undefined when there is no limit. */
  readonly memoryLimit: number | undefined;
}

/** With its own pid namespace (an entry without a path) the kernel ends all when init ends. */
function ownsPidNamespace(spec: OciSpec): boolean {
  const entry = spec.linux?.namespaces?.find((namespace) => namespace.type === 'pid');
  return entry !== undefined && (entry.path ?? '') === '';
}

function hasPoststartHooks({ hooks }: OciSpec): boolean {
  const { poststart } = (hooks ?? {}) as { poststart?: unknown };
  return Array.isArray(poststart) && poststart.length > 0;
}

/**
 * Without a mount namespace the move would be that of the agent's own root: the runtime then
 * changes its root only. One that is to be private runc refuses to move.
 */
function canMoveRoot({ linux }: OciSpec): boolean {
  const hasNamespace = linux?.namespaces?.some(({ type }) => type === 'mount') ?? false;
  return hasNamespace && !/^r?private$/.test(`${linux?.rootfsPropagation}`);
}

function memoryLimit(spec: OciSpec): number | undefined {
  const memory = spec.linux?.resources?.memory as { limit?: unknown } | null | undefined;
  const limit = memory?.limit;
  return typeof limit === 'number' && limit > 0 ? limit : undefined;
}

/** Reads config.json. Throws SyntaxError for what is no JSON object, or the system's error. */
export function readBundle(bundle: string): BundleFacts {
  // JSON.parse rounds integers beyond 2^53; none that is used here needs their last digits.
  const spec: OciSpec | null = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8'));
  if (spec === null || typeof spec !== 'object') {
    throw new SyntaxError(`${join(bundle, 'config.json')} holds no object`);
  }
  const root = spec.root?.path;
  return {
    rootfs: root === undefined || isAbsolute(root) ? root : join(bundle, root),
    cwd: spec.process?.cwd ?? '/',
    terminal: spec.process?.terminal ?? false,
    ownsPidNamespace: ownsPidNamespace(spec),
    canMoveRoot: canMoveRoot(spec),
    hasPoststartHooks: hasPoststartHooks(spec),
    memoryLimit: memoryLimit(spec),
  };
}
