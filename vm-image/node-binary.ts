import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Architecture } from './architectures.ts';

/**
 * The pinned Node for an architecture: the one installed here, else the same version's package for
 * the other processor, fetched into the cache.
 */
export async function nodeBinary(
  root: string,
  cache: string,
  { node }: Architecture,
): Promise<{ path: string; version: string }> {
  const version = pinnedVersion(root, node);
  const installed = join(root, `node_modules/node-linux-${node}/bin/node`);
  if (existsSync(installed)) return { path: installed, version };
  const directory = join(cache, `node-linux-${node}-${version}`);
  const path = join(directory, 'package/bin/node');
  if (!existsSync(path)) {
    const temporary = `${directory}.new`;
    rmSync(temporary, { recursive: true, force: true });
    mkdirSync(temporary, { recursive: true });
    await execa('npm', ['pack', '--silent', `node-linux-${node}@${version}`], { cwd: temporary });
    await execa('tar', ['-xzf', `node-linux-${node}-${version}.tgz`], { cwd: temporary });
    renameSync(temporary, directory);
  }
  return { path, version };
}

function pinnedVersion(root: string, node: string): string {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    optionalDependencies?: Record<string, string>;
  };
  const version = manifest.optionalDependencies?.[`node-linux-${node}`];
  if (version === undefined) throw new Error(`package.json pins no node-linux-${node}`);
  return version;
}
