'use strict';
// Loads a bundle with the code V8 compiled at build time: reading it back costs a few
// milliseconds less than compiling does. Copied beside the bundles, and needs nothing else.
//
//   node start.cjs PROGRAM [ARGUMENT…]      runs PROGRAM.cjs, with PROGRAM.cache when it fits, and
//                                           PROGRAM-later.cjs in the same way once it is needed
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { Script } = require('node:vm');

function readCache(path) {
  try {
    return readFileSync(path);
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Compiles a bundle of `directory`, whose text is a function (scripts/bundle.ts). V8 itself refuses a
 * cache of another version or other flags.
 */
function compile(directory, program) {
  const filename = join(directory, `${program}.cjs`);
  // The bundle is ASCII: as Latin-1 it takes one byte a character and no decoding.
  const source = readFileSync(filename, 'latin1');
  const cachedData = readCache(join(directory, `${program}.cache`));
  const script = new Script(source, { filename, ...(cachedData && { cachedData }) });
  return { filename, script };
}

function evaluate({ filename, script }, find) {
  const module = { exports: {}, filename };
  script.runInThisContext()(module.exports, find, module, filename, join(filename, '..'));
  return module.exports;
}

/**
 * Runs a program, in one file or in two (scripts/split-bundle.ts). Returns what was compiled of it by
 * file name without ending; the second file joins when it is first needed.
 */
function run(directory, program) {
  const compiled = new Map();
  const load = (name) => {
    const part = compile(directory, name);
    compiled.set(name, part.script);
    return evaluate(part, find);
  };
  const shared = {};
  let later;
  const find = (id) => {
    if (id.startsWith('later:')) {
      later ??= load(`${program}-later`);
      return later[id.slice('later:'.length)]();
    }
    if (id === 'shared:') return shared;
    if (id.startsWith('shared:')) return shared[id.slice('shared:'.length)];
    // Of this file, which lies beside the bundle: making another would load node:module.
    return require(id);
  };
  load(program);
  return compiled;
}

if (require.main === module) {
  const [, , program] = process.argv;
  process.argv.splice(1, 2, join(__dirname, `${program}.cjs`));
  run(__dirname, program);
} else {
  module.exports = { compile, run };
}
