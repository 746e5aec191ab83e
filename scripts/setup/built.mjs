import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { pinnedNode, ROOT } from './npm-packages.mjs';
import { SetupError } from './progress.mjs';

const OUTPUTS = [
  // Compiled again only when their digests change.
  `build/init/${process.arch === 'x64' ? 'amd64' : process.arch}/init.stamp`,
  'build/native/gcs_native.node.stamp',
  'build/gcs.cjs',
  'build/gcs.cache',
  'build/gcs-later.cjs',
  'build/gcs-later.cache',
  'build/gcsctl.cjs',
  'build/gcsctl.cache',
  'build/gcs-oci.cjs',
  'build/gcs-oci.cache',
];
const SOURCES = ['src', 'native', 'scripts', 'package-lock.json'];

/** Time of the latest change below a path; directories count, for files that went away. */
function newest(path) {
  const { mtimeMs } = statSync(path);
  if (!statSync(path).isDirectory()) return mtimeMs;
  return readdirSync(path).reduce((latest, name) => {
    if (name.endsWith('.test.ts') || name.endsWith('.md')) return latest;
    return Math.max(latest, newest(join(path, name)));
  }, mtimeMs);
}

function upToDate() {
  const outputs = OUTPUTS.map((path) => join(ROOT, path));
  if (!outputs.every((path) => existsSync(path))) return false;
  const changed = Math.max(...SOURCES.map((path) => newest(join(ROOT, path))));
  // The bundles tell the last build.
  return outputs.slice(2).every((path) => statSync(path).mtimeMs >= changed);
}

export function ensureBuilt(progress) {
  if (upToDate()) {
    progress.fine('build', 'up to date');
    return;
  }
  progress.work('build', 'init, the native addon and the bundles', () => {
    for (const name of ['build-init.ts', 'build-native.ts', 'build.ts']) {
      const script = `scripts/${name}`;
      const result = spawnSync(pinnedNode(), [join(ROOT, script)], {
        cwd: ROOT,
        stdio: ['inherit', 2, 2],
      });
      if (result.status !== 0) throw new SetupError(`${script} failed; its own message is above`);
    }
  });
}
