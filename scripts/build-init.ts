import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = resolve(import.meta.dirname, '..');
const sourceDirectory = join(root, 'native/init');
const flags = [
  '-std=gnu17',
  '-Os',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-static',
  '-ffunction-sections',
  '-fdata-sections',
  '-fno-asynchronous-unwind-tables',
  '-fstack-protector-strong',
  // The same sources give the same bytes wherever they lie.
  `-ffile-prefix-map=${sourceDirectory}=init`,
  '-Wl,--gc-sections',
  '-Wl,--build-id=none',
  '-s',
  '-D_GNU_SOURCE',
];

/** Processors a VM image is built for, by Node's names. */
export const initArchitectures = ['x64', 'arm64'] as const;
export type InitArchitecture = (typeof initArchitectures)[number];

/** The names that Debian and the folders of build/ use. */
const folderNames = { x64: 'amd64', arm64: 'arm64' } as const;
const tuples = { x64: 'x86_64', arm64: 'aarch64' } as const;
const crossPackages = { x64: 'gcc-x86-64-linux-gnu', arm64: 'gcc-aarch64-linux-gnu' } as const;

/** Where init is built to. */
export function initPath(architecture: InitArchitecture): string {
  return join(root, 'build/init', folderNames[architecture], 'init');
}

interface Compiler {
  readonly name: string;
  readonly version: string;
  /** Before and after the sources. */
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/** `musl`: a root with Debian's musl-dev of a processor that is not this machine's. */
function compilerFor(architecture: InitArchitecture, musl: string | undefined): Compiler {
  if (architecture === process.arch) {
    const version = versionOf('musl-gcc', 'apt-get install musl-tools');
    return { name: 'musl-gcc', version, before: [], after: [] };
  }
  const tuple = tuples[architecture];
  const name = `${tuple}-linux-gnu-gcc`;
  const packages = `apt-get install --no-install-recommends ${crossPackages[architecture]}`;
  const version = versionOf(name, packages);
  if (musl === undefined) {
    throw new Error(
      `init for ${architecture} needs the musl of that processor: npm run vm-image -- --arch ${folderNames[architecture]} fetches it`,
    );
  }
  // What musl-gcc does by its specs file, with the files of another processor.
  const lib = join(musl, `usr/lib/${tuple}-linux-musl`);
  const include = join(musl, `usr/include/${tuple}-linux-musl`);
  // Debian's kernels have pages of 4 KiB on either processor; room for larger ones doubles the file.
  const pages = '-Wl,-z,max-page-size=4096';
  const before = [pages, '-nostdinc', '-isystem', include, '-nostdlib', join(lib, 'crt1.o')];
  const after = [`-L${lib}`, '-Wl,--start-group', '-lc', '-lgcc', '-Wl,--end-group'];
  return {
    name,
    version,
    before: [...before, join(lib, 'crti.o')],
    after: [...after, join(lib, 'crtn.o')],
  };
}

function versionOf(compiler: string, remedy: string): string {
  const { status, stdout, error } = spawnSync(compiler, ['--version'], { encoding: 'utf8' });
  if (error !== undefined || status !== 0) {
    throw new Error(`the C compiler ${compiler} is missing: ${remedy}`);
  }
  return stdout;
}

/** Everything the result depends on, as one digest. */
function fingerprint(files: readonly string[], version: string): string {
  // Where the sources lie is not part of the result.
  const fixed = flags.filter((flag) => !flag.startsWith('-ffile-prefix-map'));
  const hash = createHash('sha256').update(version).update(fixed.join('\0'));
  for (const file of files)
    hash.update(`${file}\0`).update(readFileSync(join(sourceDirectory, file)));
  return hash.digest('hex');
}

/**
 * Compiles native/init/*.c into build/init/<amd64|arm64>/init, a static program, unless it is up to
 * date; returns its path. For another processor than this machine's `musl` is a root with Debian's
 * musl-dev of that one. Throws with the remedy when the compiler is missing.
 */
export function buildInit(
  architecture: InitArchitecture,
  log: (line: string) => void = console.log,
  musl?: string,
): string {
  const path = initPath(architecture);
  const compiler = compilerFor(architecture, musl);
  const files = readdirSync(sourceDirectory)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
  const digest = fingerprint(files, compiler.version);
  const stampPath = `${path}.stamp`;
  const name = `init (${folderNames[architecture]})`;
  if (existsSync(path) && existsSync(stampPath) && readFileSync(stampPath, 'utf8') === digest) {
    log(`${name}: up to date`);
    return path;
  }
  mkdirSync(dirname(path), { recursive: true });
  const started = performance.now();
  const temporary = `${path}.${process.pid}`;
  const sources = files
    .filter((file) => file.endsWith('.c'))
    .map((file) => join(sourceDirectory, file));
  const { status, stderr } = spawnSync(
    compiler.name,
    [...flags, '-o', temporary, ...compiler.before, ...sources, ...compiler.after],
    {
      encoding: 'utf8',
    },
  );
  if (status !== 0) {
    rmSync(temporary, { force: true });
    throw new Error(`${name}: ${compiler.name} failed\n${stderr}`);
  }
  renameSync(temporary, path);
  writeFileSync(stampPath, digest);
  const size = Math.ceil(statSync(path).size / 1024);
  log(`${name}: built in ${Math.round(performance.now() - started)} ms, ${size} KiB`);
  return path;
}

function wanted(argument: string | undefined): InitArchitecture {
  const name = argument ?? process.arch;
  const found = initArchitectures.find((each) => each === name || folderNames[each] === name);
  if (found === undefined) throw new Error(`${name}: init is built for amd64 and arm64`);
  return found;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    buildInit(wanted(process.argv[2]));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
