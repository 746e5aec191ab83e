/** Compiles the C sources of one directory into one file, unless it is up to date. */
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
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface Compiler {
  /** The program. */
  readonly name: string;
  /** What `--version` says. */
  readonly version: string;
}

/** Throws with the remedy when the compiler is missing. */
export function findCompiler(name: string, remedy: string): Compiler {
  const { status, stdout, error } = spawnSync(name, ['--version'], { encoding: 'utf8' });
  if (error !== undefined || status !== 0) {
    throw new Error(`the C compiler ${name} is missing: ${remedy}`);
  }
  return { name, version: stdout };
}

export interface Compilation {
  /** What it is called in messages. */
  readonly name: string;
  /** Directory of the sources and their headers. */
  readonly sources: string;
  /** The file that is made; PATH.stamp lies beside it. */
  readonly path: string;
  readonly compiler: Compiler;
  /** Flags the result depends on. */
  readonly flags: readonly string[];
  /** The same, before and after the sources, as far as they say where things lie. */
  readonly before?: readonly string[];
  readonly after?: readonly string[];
  /** Files outside `sources` on which the result depends. */
  readonly others?: readonly string[];
}

/** Everything the result depends on, as one digest. */
function fingerprint(
  { sources, compiler, flags, others = [] }: Compilation,
  files: readonly string[],
): string {
  const hash = createHash('sha256').update(compiler.version).update(flags.join('\0'));
  for (const other of others) hash.update(readFileSync(other));
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(join(sources, file)));
  return hash.digest('hex');
}

/** Throws with what the compiler said. */
export function compileC(compilation: Compilation, log: (line: string) => void): void {
  const { name, sources, path, compiler, flags, before = [], after = [] } = compilation;
  const files = readdirSync(sources)
    .filter((file) => /\.[ch]$/.test(file))
    .sort();
  const digest = fingerprint(compilation, files);
  const stamp = `${path}.stamp`;
  if (existsSync(path) && existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) {
    log(`${name}: up to date`);
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  const started = performance.now();
  // Built beside and renamed, so that a process that has the old one mapped keeps it whole.
  const temporary = `${path}.${process.pid}`;
  const units = files.filter((file) => file.endsWith('.c')).map((file) => join(sources, file));
  const { status, stderr } = spawnSync(
    compiler.name,
    [...flags, ...before, '-o', temporary, ...units, ...after],
    { encoding: 'utf8' },
  );
  if (status !== 0) {
    rmSync(temporary, { force: true });
    throw new Error(`${name}: ${compiler.name} failed\n${stderr}`);
  }
  renameSync(temporary, path);
  writeFileSync(stamp, digest);
  const size = Math.ceil(statSync(path).size / 1024);
  log(`${name}: built in ${Math.round(performance.now() - started)} ms, ${size} KiB`);
}

/** Calls `build` when the module of this URL is the program; says what it throws and exits with 1. */
export function whenProgram(moduleUrl: string, build: () => void): void {
  const [, program] = process.argv;
  if (program === undefined || moduleUrl !== pathToFileURL(program).href) return;
  try {
    build();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
