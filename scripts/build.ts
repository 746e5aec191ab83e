/**
 * Builds what bin/gcs and bin/gcsctl run: one file per program, and the code cache that saves the
 * agent compiling it at every start.
 */
import { copyFileSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { bundle, ROOT } from './bundle.ts';
import { makeCodeCache } from './code-cache.ts';
import { bundleInTwo } from './split-bundle.ts';

const OUT = join(ROOT, 'build');

interface Program {
  name: 'gcs' | 'gcsctl' | 'gcs-oci';
  entry: string;
  /** Packages that may only be reached through import(): evaluating them costs more than the whole start. */
  lazy: readonly string[];
  /** What it loads by import() goes into a file of its own: its start counts. */
  split?: true;
}

const PROGRAMS: readonly Program[] = [
  {
    name: 'gcs',
    entry: 'src/main.ts',
    lazy: ['execa', 'protobufjs', 'vscode-jsonrpc', '@bufbuild/protobuf'],
    split: true,
  },
  { name: 'gcsctl', entry: 'src/cli/gcsctl.ts', lazy: ['protobufjs', 'vscode-jsonrpc'] },
  { name: 'gcs-oci', entry: 'src/oci/gcs-oci.ts', lazy: ['protobufjs'] },
];

/** The shortest chain of static imports from `entry` to a package, undefined when there is none. */
function staticPath(metafile: Metafile, entry: string, packageName: string): string[] | undefined {
  const from = new Map<string, string | undefined>([[entry, undefined]]);
  for (const path of from.keys()) {
    if (path.includes(`node_modules/${packageName}/`)) {
      const chain: string[] = [];
      for (let step: string | undefined = path; step; step = from.get(step)) chain.unshift(step);
      return chain;
    }
    for (const imported of metafile.inputs[path]?.imports ?? []) {
      if (imported.kind === 'dynamic-import' || imported.external) continue;
      if (!from.has(imported.path)) from.set(imported.path, path);
    }
  }
  return undefined;
}

function requireLazy(program: Program, metafile: Metafile): void {
  for (const name of program.lazy) {
    const chain = staticPath(metafile, program.entry, name);
    if (chain) {
      throw new Error(
        `${program.name} evaluates ${name} at start; use import() in:\n  ${chain.join('\n  → ')}`,
      );
    }
  }
}

mkdirSync(OUT, { recursive: true });
copyFileSync(join(ROOT, 'scripts/start.cjs'), join(OUT, 'start.cjs'));
for (const program of PROGRAMS) {
  const started = performance.now();
  const { name, entry, split } = program;
  const names = split ? [name, `${name}-later`] : [name];
  const [outfile = '', laterOutfile = ''] = names.map((each) => join(OUT, `${each}.cjs`));
  for (const each of names) rmSync(join(OUT, `${each}.cache`), { force: true });
  requireLazy(
    program,
    split ? await bundleInTwo({ entry, outfile, laterOutfile }) : await bundle({ entry, outfile }),
  );
  await makeCodeCache(OUT, name);
  for (const each of names) tell(each);
  console.log(`  in ${Math.round(performance.now() - started)} ms`);
}

function tell(name: string): void {
  const size = (path: string) => `${Math.ceil(statSync(path).size / 1024)} KiB`;
  const cache = join(OUT, `${name}.cache`);
  const cached = existsSync(cache) ? size(cache) : 'none';
  console.log(`build/${name}.cjs ${size(join(OUT, `${name}.cjs`))}, code cache ${cached}`);
}
