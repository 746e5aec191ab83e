import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = resolve(import.meta.dirname, '..');
const sourceDirectory = join(root, 'native/addon');
const flags = [
  '-std=gnu17',
  '-O2',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-fPIC',
  '-fvisibility=hidden',
  '-shared',
  '-pthread',
  '-D_GNU_SOURCE',
  '-DNAPI_VERSION=9',
];

/** Where the addon is built to. */
export const addonPath = join(root, 'build/native/gcs_native.node');

/** The headers of the Node.js that the project pins, for the processor we run on. */
function includeDirectory(): string {
  const directory = join(root, `node_modules/node-linux-${process.arch}/include/node`);
  if (!existsSync(join(directory, 'node_api.h'))) {
    throw new Error(`Node.js headers are missing (${directory}): run npm ci`);
  }
  return directory;
}

function compilerVersion(): string {
  const { status, stdout, error } = spawnSync('gcc', ['--version'], { encoding: 'utf8' });
  if (error !== undefined || status !== 0) {
    throw new Error('the C compiler gcc is missing: apt-get install gcc libc6-dev');
  }
  return stdout;
}

/** Everything the result depends on, as one digest. */
function fingerprint(files: readonly string[], include: string): string {
  const hash = createHash('sha256').update(compilerVersion()).update(flags.join('\0'));
  for (const header of ['node_version.h', 'node_api.h', 'uv/version.h']) {
    hash.update(readFileSync(join(include, header)));
  }
  for (const file of files)
    hash.update(`${file}\0`).update(readFileSync(join(sourceDirectory, file)));
  return hash.digest('hex');
}

/**
 * Compiles native/addon/*.c into build/native/gcs_native.node, unless it is up to date.
 * Throws with the remedy when the compiler or the headers are missing.
 */
export function buildNative(log: (line: string) => void = console.log): void {
  const include = includeDirectory();
  const files = readdirSync(sourceDirectory)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
  const digest = fingerprint(files, include);
  const stampPath = `${addonPath}.stamp`;
  if (
    existsSync(addonPath) &&
    existsSync(stampPath) &&
    readFileSync(stampPath, 'utf8') === digest
  ) {
    log('native addon: up to date');
    return;
  }
  mkdirSync(dirname(addonPath), { recursive: true });
  const started = performance.now();
  // Built beside and renamed, so that a process that has the old one mapped keeps it whole.
  const temporary = `${addonPath}.${process.pid}`;
  const sources = files
    .filter((name) => name.endsWith('.c'))
    .map((name) => join(sourceDirectory, name));
  const { status, stderr } = spawnSync(
    'gcc',
    [...flags, `-I${include}`, '-o', temporary, ...sources],
    {
      encoding: 'utf8',
    },
  );
  if (status !== 0) {
    rmSync(temporary, { force: true });
    throw new Error(`native addon: gcc failed\n${stderr}`);
  }
  renameSync(temporary, addonPath);
  writeFileSync(stampPath, digest);
  log(`native addon: built in ${Math.round(performance.now() - started)} ms`);
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    buildNative();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
