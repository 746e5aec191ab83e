import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Architecture, isOwn } from './architectures.ts';

/** Files of ours that go into the image. */
export interface Inputs {
  readonly node: string;
  /** Of the bundle: agent, code cache and loader. */
  readonly bundle: readonly string[];
  readonly addon: string;
  readonly launcher: string;
  readonly init: string;
}

/** Looks for them; throws with the command that makes what is missing. */
export function findInputs(root: string, architecture: Architecture, node: string): Inputs {
  const own = isOwn(architecture);
  const at = (path: string, remedy: string): string => {
    const file = join(root, path);
    if (!existsSync(file)) throw new Error(`${path} is missing: ${remedy}`);
    return file;
  };
  const build = 'npm run build';
  const bundle = ['build/start.cjs', 'build/gcs.cjs', 'build/gcs-later.cjs'].map((path) =>
    at(path, build),
  );
  // What V8 compiled for one processor, V8 of another refuses.
  if (own) bundle.push(at('build/gcs.cache', build), at('build/gcs-later.cache', build));
  return {
    node,
    bundle,
    addon: at(`build/native/${own ? '' : `${architecture.name}/`}gcs_native.node`, build),
    launcher: at('bin/gcs', 'it belongs to the source'),
    init: at(
      `build/init/${architecture.name}/init`,
      `node scripts/build-init.ts --arch ${architecture.name}`,
    ),
  };
}

/** Everything an image depends on, as one digest. */
export async function fingerprint(
  inputs: Inputs,
  sources: string,
  ...facts: readonly string[]
): Promise<string> {
  const files = [
    ...readdirSync(sources)
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
      .sort()
      .map((name) => join(sources, name)),
    ...inputs.bundle,
    inputs.addon,
    inputs.launcher,
    inputs.init,
    inputs.node,
  ];
  const hash = createHash('sha256');
  for (const fact of facts) hash.update(`${fact}\0`);
  for (const file of files) {
    const content = createHash('sha256');
    await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), content);
    hash.update(content.digest());
  }
  return hash.digest('hex');
}
