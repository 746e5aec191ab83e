/**
 * An esbuild plugin: a static import of one of these builtins becomes a require when one of its
 * functions is first called. The sources keep their plain imports, and the agent's start does not
 * load what only a later request needs.
 */
import { createRequire } from 'node:module';
import type { Plugin } from 'esbuild';

/** Milliseconds each adds to a start on the machine this was measured on: 7, 4, 1.7, 0.4, 0.3, 0.5. */
const LAZY = ['crypto', 'net', 'fs/promises', 'timers/promises', 'tty', 'child_process'];

const require = createRequire(import.meta.url);

/** Source of a module with the same exports; esbuild leaves out those nobody imports. */
function standIn(name: string): string {
  const module = require(`node:${name}`) as Record<string, unknown>;
  return Object.entries(module)
    .filter(([key]) => /^[A-Za-z_]\w*$/.test(key) && key !== 'default')
    .map(([key, value]) => {
      const real = `require("node:${name}").${key}`;
      return typeof value === 'function'
        ? `export function ${key}(...a) { return new.target ? new (${real})(...a) : ${real}(...a); }`
        : `export const ${key} = /* @__PURE__ */ (() => ${real})();`;
    })
    .join('\n');
}

export const lazyBuiltins: Plugin = {
  name: 'lazy-builtins',
  setup(build) {
    const filter = new RegExp(`^(node:)?(${LAZY.join('|')})$`);
    build.onResolve({ filter }, ({ path, kind, namespace }) =>
      kind === 'import-statement' && namespace === 'file'
        ? { path: path.replace('node:', ''), namespace: 'lazy-builtin', sideEffects: false }
        : { path, external: true },
    );
    build.onLoad({ filter: /.*/, namespace: 'lazy-builtin' }, ({ path }) => ({
      contents: standIn(path),
    }));
  },
};
