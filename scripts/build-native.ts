import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { compileC, findCompiler, whenProgram } from './compile-c.ts';

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

/**
 * Compiles native/addon/*.c into build/native/gcs_native.node, for another processor into a folder of
 * its own there, unless it is up to date. Throws with the remedy when the compiler or the headers are missing.
 */
export function buildNative(
  log: (line: string) => void = console.log,
  architecture = process.arch as AddonArchitecture,
): void {
  const { path, compiler, remedy } = targetFor(architecture);
  const include = includeDirectory();
  const compilation = {
    name: 'native addon',
    sources: sourceDirectory,
    path,
    compiler: findCompiler(compiler, remedy),
    flags,
    before: [`-I${include}`],
    others: ['node_version.h', 'node_api.h', 'uv/version.h'].map((name) => join(include, name)),
  };
  compileC(compilation, log);
}

whenProgram(import.meta.url, () => buildNative());
