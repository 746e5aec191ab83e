/** How a program becomes one file. */
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import { lazyBuiltins } from './lazy-builtins.ts';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

export interface BundleOptions {
  entry: string;
  outfile: string;
  /** Before our own. */
  plugins?: readonly Plugin[];
}

/** What every bundle has in common. */
export const bundleSettings = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node24',
  // Names stay as they are, so that a stack trace of a guest can be read.
  minifyWhitespace: true,
  minifySyntax: true,
  sourcemap: 'external',
  metafile: true,
  plugins: [lazyBuiltins],
  logLevel: 'warning',
  external: ['shared:*', 'later:*'],
  // What stays outside (builtins) is required, not imported: no ESM loader in the agent.
  supported: { 'dynamic-import': false },
  define: {
    'import.meta.dirname': '__dirname',
    'import.meta.filename': '__filename',
  },
  // A function as Node's loader makes one of a file, for start.cjs: put around the text when it is
  // read, it would be one more copy of the whole.
  banner: { js: '(function(exports,require,module,__filename,__dirname){' },
  footer: { js: '})' },
} as const satisfies BuildOptions;

export async function bundle({ entry, outfile, plugins = [] }: BundleOptions): Promise<Metafile> {
  const { metafile } = await build({
    ...bundleSettings,
    entryPoints: [entry],
    outfile,
    plugins: [...plugins, ...bundleSettings.plugins],
  });
  return metafile;
}
