import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SetupError } from './progress.mjs';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The Node of the lock file, whatever `node` the machine has. */
export function pinnedNode() {
  return join(ROOT, `node_modules/node-linux-${process.arch}/bin/node`);
}

function upToDate() {
  const installed = join(ROOT, 'node_modules/.package-lock.json');
  if (!existsSync(installed) || !existsSync(pinnedNode())) return false;
  return statSync(installed).mtimeMs >= statSync(join(ROOT, 'package-lock.json')).mtimeMs;
}

export function ensureNpmPackages(progress) {
  if (upToDate()) {
    progress.fine('npm', 'installed');
    return;
  }
  progress.work('npm', 'installing what package-lock.json names', () => {
    // npm must not run on the very Node it is about to replace.
    const PATH = (process.env.PATH ?? '')
      .split(':')
      .filter((directory) => !directory.startsWith(join(ROOT, 'node_modules')))
      .join(':');
    const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: ROOT,
      stdio: ['inherit', 2, 2],
      env: { ...process.env, PATH },
    });
    if (result.error) throw new SetupError('npm is missing: apt-get install npm');
    if (result.status !== 0) throw new SetupError('npm ci failed; its own message is above');
  });
  if (!existsSync(pinnedNode())) {
    throw new SetupError(
      `npm left out the pinned Node (node-linux-${process.arch}, an optional dependency): ` +
        'is "omit=optional" set in an .npmrc?',
    );
  }
}
