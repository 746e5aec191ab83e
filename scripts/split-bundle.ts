/**
 * A program in two files: what it needs to be ready, and what it loads later by import(). V8 reads a
 * code cache as a whole, so what is in the first file costs at every start, used or not.
 *
 * A module is in one of the two and exists once: what the second file needs of the first it gets from
 * the instances there. scripts/start.cjs joins them: `later:PATH` is a module of the second file,
 * `shared:PATH` one of the first.
 */
import { relative } from 'node:path';
import { build, type Metafile, type Plugin } from 'esbuild';
import { bundleSettings, ROOT } from './bundle.ts';

export interface SplitOptions {
  entry: string;
  outfile: string;
  laterOutfile: string;
}

/** Resolves with what an undivided bundle would consist of. */
export async function bundleInTwo({
  entry,
  outfile,
  laterOutfile,
}: SplitOptions): Promise<Metafile> {
  const whole = await build({ ...bundleSettings, entryPoints: [entry], outfile, write: false });
  const parts = divide(whole.metafile, entry);
  await build({
    ...bundleSettings,
    stdin: { contents: firstSource(entry, parts.shared), resolveDir: ROOT, loader: 'js' },
    outfile,
    plugins: [sendLater(parts.later), ...bundleSettings.plugins],
  });
  await build({
    ...bundleSettings,
    stdin: { contents: laterSource(parts.later), resolveDir: ROOT, loader: 'js' },
    outfile: laterOutfile,
    plugins: [takeShared(parts.first), ...bundleSettings.plugins],
  });
  return whole.metafile;
}

interface Parts {
  /** Modules of the first file. */
  readonly first: ReadonlySet<string>;
  /** Modules of the second that are loaded by import(). */
  readonly later: ReadonlySet<string>;
  /** Modules of the first that modules of the second import. */
  readonly shared: ReadonlySet<string>;
}

function divide({ inputs }: Metafile, entry: string): Parts {
  const imports = Object.entries(inputs).flatMap(([from, input]) =>
    input.imports
      .filter((each) => !each.external)
      .map(({ path, kind }) => ({ from, to: path, dynamic: kind === 'dynamic-import' })),
  );
  const first = new Set([entry]);
  for (const from of first) {
    for (const each of imports) if (each.from === from && !each.dynamic) first.add(each.to);
  }
  const later = imports.filter(({ to, dynamic }) => dynamic && !first.has(to));
  const shared = imports.filter(({ from, to }) => first.has(to) && !first.has(from));
  return {
    first,
    later: new Set(later.map(({ to }) => to)),
    // Stand-ins for builtins are made anew where they are needed.
    shared: new Set(shared.map(({ to }) => to).filter((path) => path.startsWith('src/'))),
  };
}

function firstSource(entry: string, shared: ReadonlySet<string>): string {
  const paths = [...shared].sort();
  return [
    `import ${JSON.stringify(`./${entry}`)};`,
    ...paths.map((path, index) => `import * as m${index} from ${JSON.stringify(`./${path}`)};`),
    'const shared = require("shared:");',
    ...paths.map((path, index) => `shared[${JSON.stringify(path)}] = m${index};`),
  ].join('\n');
}

function laterSource(later: ReadonlySet<string>): string {
  const entries = [...later].sort().map((path) => {
    const name = JSON.stringify(path);
    return `${name}: () => require(${JSON.stringify(`./${path}`)})`;
  });
  return `module.exports = {\n${entries.join(',\n')}\n};`;
}

/** Imports between our own sources, which are relative. */
const OWN = /^\.\.?\//;
/** Asked again by ourselves. */
const RESOLVED = Symbol('resolved');

function redirect(name: string, where: (path: string, kind: string) => string | undefined): Plugin {
  return {
    name,
    setup({ onResolve, resolve }) {
      onResolve({ filter: OWN }, async ({ path, kind, importer, resolveDir, pluginData }) => {
        if (pluginData === RESOLVED) return undefined;
        const found = await resolve(path, { kind, importer, resolveDir, pluginData: RESOLVED });
        if (found.errors.length > 0) return found;
        const target = where(relative(ROOT, found.path), kind);
        return target === undefined ? found : { path: target, external: true };
      });
    },
  };
}

function sendLater(later: ReadonlySet<string>): Plugin {
  return redirect('later', (path, kind) =>
    kind === 'dynamic-import' && later.has(path) ? `later:${path}` : undefined,
  );
}

function takeShared(first: ReadonlySet<string>): Plugin {
  return redirect('shared', (path) => (first.has(path) ? `shared:${path}` : undefined));
}
