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
  /** Its own or another's, not simply that of the runtime. */
  readonly namesMountNamespace: boolean;
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
    namesMountNamespace: spec.linux?.namespaces?.some(({ type }) => type === 'mount') ?? false,
    hasPoststartHooks: hasPoststartHooks(spec),
    memoryLimit: memoryLimit(spec),
  };
}
