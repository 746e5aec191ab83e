import { join, resolve } from 'node:path';
import { type Compiler, compileC, findCompiler, whenProgram } from './compile-c.ts';

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

interface Toolchain {
  readonly compiler: Compiler;
  /** Before and after the sources. */
  readonly before: readonly string[];
  readonly after: readonly string[];
}

/** `musl`: a root with Debian's musl-dev of a processor that is not this machine's. */
function toolchainFor(architecture: InitArchitecture, musl: string | undefined): Toolchain {
  if (architecture === process.arch) {
    const compiler = findCompiler('musl-gcc', 'apt-get install musl-tools');
    return { compiler, before: [], after: [] };
  }
  const tuple = tuples[architecture];
  const packages = `apt-get install --no-install-recommends ${crossPackages[architecture]}`;
  const compiler = findCompiler(`${tuple}-linux-gnu-gcc`, packages);
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
    compiler,
    before: [...before, join(lib, 'crti.o')],
    after: [...after, join(lib, 'crtn.o')],
  };
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
  const { compiler, before, after } = toolchainFor(architecture, musl);
  const compilation = {
    name: `init (${folderNames[architecture]})`,
    sources: sourceDirectory,
    path,
    compiler,
    flags,
    // The same sources give the same bytes wherever they lie.
    before: [`-ffile-prefix-map=${sourceDirectory}=init`, ...before],
    after,
  };
  compileC(compilation, log);
  return path;
}

function wanted(argument: string | undefined): InitArchitecture {
  const name = argument ?? process.arch;
  const found = initArchitectures.find((each) => each === name || folderNames[each] === name);
  if (found === undefined) throw new Error(`${name}: init is built for amd64 and arm64`);
  return found;
}

whenProgram(import.meta.url, () => buildInit(wanted(process.argv[2])));
