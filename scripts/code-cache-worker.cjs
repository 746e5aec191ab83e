'use strict';
// Runs a bundle as start.cjs does and, when it exits or is told to, writes the code V8 has
// compiled until then: what the start needed, so that the next start compiles nothing.
//
//   node code-cache-worker.cjs BUILD_DIRECTORY PROGRAM [ARGUMENT…]
const { writeFileSync } = require('node:fs');
const { join } = require('node:path');

const [directory, program, ...args] = process.argv.slice(2);
const { compile, run } = require(join(directory, 'start.cjs'));
const compiled = compile(directory, program);
process.argv.splice(1, Infinity, compiled.filename, ...args);
process.once('exit', () => {
  writeFileSync(join(directory, `${program}.cache`), compiled.script.createCachedData());
});
process.once('message', () => process.exit(0));
// Waiting to be told must not keep a program running that is done.
process.channel?.unref();
run(compiled);
