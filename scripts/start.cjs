'use strict';
// Loads a bundle with the code V8 compiled at build time: reading it back costs a few
// milliseconds less than compiling does. Copied beside the bundles, and needs nothing else.
//
//   node start.cjs PROGRAM [ARGUMENT…]      runs PROGRAM.cjs, with PROGRAM.cache when it fits
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

/** Compiles a bundle of `directory`; V8 itself refuses a cache of another version or other flags. */
function compile(directory, program) {
  const filename = join(directory, `${program}.cjs`);
  // The bundle is ASCII: as Latin-1 it takes one byte a character and no decoding.
  const source = readFileSync(filename, 'latin1');
  const cachedData = readCache(join(directory, `${program}.cache`));
  const script = new Script(
    `(function (exports, require, module, __filename, __dirname) {${source}\n})`,
    { filename, ...(cachedData && { cachedData }) },
  );
  return { filename, script };
}

function run({ filename, script }) {
  const module = { exports: {}, filename };
  script.runInThisContext()(
    module.exports,
    // Of this file, which lies beside the bundle: making another would load node:module.
    require,
    module,
    filename,
    join(filename, '..'),
  );
}

if (require.main === module) {
  const compiled = compile(__dirname, process.argv[2]);
  process.argv.splice(1, 2, compiled.filename);
  run(compiled);
} else {
  module.exports = { compile, run };
}
