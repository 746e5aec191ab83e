import { createHash } from 'node:crypto';
import { ErofsReader } from './erofs-reader.ts';
import type { CachedLayer, LayerCache } from './layer-cache.ts';
import type { BuildOptions, LayerSource } from './layer-disk.ts';
import { type Attributes, OPAQUE_XATTR } from './layer-tree.ts';

/**
 * The disk of a layer that has files in directories it has no entries of. Such a directory is as the
 * layers below have it, but overlayfs would show what the topmost disk says: so the disk is made for
 * what is below it. `below`: the disks of the lower layers, the lowest first.
 */
export async function inheriting(
  cache: LayerCache,
  layer: LayerSource,
  disk: CachedLayer,
  below: readonly CachedLayer[],
  options: BuildOptions = {},
): Promise<CachedLayer> {
  const inherited = new Map<string, Attributes>();
  for (const path of disk.implied) {
    const attributes = await findBelow(path, below);
    if (attributes !== undefined) inherited.set(path, attributes);
  }
  if (inherited.size === 0) return disk;
  const variant = nameOf(inherited);
  return (
    (await cache.find(layer, variant)) ??
    (await cache.make(layer, { ...options, inherited }, variant))
  );
}

async function findBelow(
  path: string,
  below: readonly CachedLayer[],
): Promise<Attributes | undefined> {
  for (const disk of [...below].reverse()) {
    await using reader = await ErofsReader.open(disk.path);
    const found = await reader.directory(path);
    if (found === 'hidden') return undefined;
    if (found === undefined) continue;
    const xattrs = new Map(found.xattrs);
    // What hides lower layers there hides nothing of that layer itself.
    xattrs.delete(OPAQUE_XATTR);
    return { ...found, xattrs };
  }
  return undefined;
}

function nameOf(inherited: ReadonlyMap<string, Attributes>): string {
  const hash = createHash('sha256');
  for (const [path, { xattrs, ...rest }] of inherited) {
    const values = [...xattrs].map(([name, value]) => [name, value.toString('hex')]);
    hash.update(JSON.stringify([path, rest, values]));
  }
  return hash.digest('hex').slice(0, 32);
}
