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

/** Processors the addon is built for, by Node's names: this machine's, and for a VM of another kind. */
export type AddonArchitecture = 'x64' | 'arm64';

const crossCompilers = {
  x64: {
    name: 'x86_64-linux-gnu-gcc',
    folder: 'amd64',
    package: 'gcc-x86-64-linux-gnu libc6-dev-amd64-cross',
  },
  arm64: {
    name: 'aarch64-linux-gnu-gcc',
    folder: 'arm64',
    package: 'gcc-aarch64-linux-gnu libc6-dev-arm64-cross',
  },
} as const;

interface Target {
  readonly path: string;
  readonly compiler: string;
  /** How to get the compiler. */
  readonly remedy: string;
}

function targetFor(architecture: AddonArchitecture): Target {
  if (architecture === process.arch) {
    const path = join(root, 'build/native/gcs_native.node');
    return { path, compiler: 'gcc', remedy: 'apt-get install gcc libc6-dev' };
  }
  const { name, folder, package: cross } = crossCompilers[architecture];
  const path = join(root, 'build/native', folder, 'gcs_native.node');
  return { path, compiler: name, remedy: `apt-get install --no-install-recommends ${cross}` };
}

/** The headers of the Node.js that the project pins: the same for every processor. */
function includeDirectory(): string {
  const directory = join(root, `node_modules/node-linux-${process.arch}/include/node`);
  if (!existsSync(join(directory, 'node_api.h'))) {
    throw new Error(`Node.js headers are missing (${directory}): run npm ci`);
  }
  return directory;
}

function compilerVersion({ compiler, remedy }: Target): string {
  const { status, stdout, error } = spawnSync(compiler, ['--version'], { encoding: 'utf8' });
  if (error !== undefined || status !== 0) {
    throw new Error(`the C compiler ${compiler} is missing: ${remedy}`);
  }
  return stdout;
}

/** Everything the result depends on, as one digest. */
function fingerprint(files: readonly string[], include: string, version: string): string {
  const hash = createHash('sha256').update(version).update(flags.join('\0'));
  for (const header of ['node_version.h', 'node_api.h', 'uv/version.h']) {
    hash.update(readFileSync(join(include, header)));
  }
  for (const file of files)
    hash.update(`${file}\0`).update(readFileSync(join(sourceDirectory, file)));
  return hash.digest('hex');
}

/**
 * Compiles native/addon/*.c into build/native/gcs_native.node, for another processor into a folder of
 * its own there, unless it is up to date. Throws with the remedy when the compiler or the headers are missing.
 */
export function buildNative(
  log: (line: string) => void = console.log,
  architecture = process.arch as AddonArchitecture,
): void {
  const target = targetFor(architecture);
  const addonPath = target.path;
  const include = includeDirectory();
  const files = readdirSync(sourceDirectory)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
  const digest = fingerprint(files, include, compilerVersion(target));
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
    target.compiler,
    [...flags, `-I${include}`, '-o', temporary, ...sources],
    {
      encoding: 'utf8',
    },
  );
  if (status !== 0) {
    rmSync(temporary, { force: true });
    throw new Error(`native addon: ${target.compiler} failed\n${stderr}`);
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
