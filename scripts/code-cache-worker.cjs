'use strict';
// Runs a bundle as start.cjs does and, when it exits or is told to, writes the code V8 has
// compiled until then: what the start needed, so that the next start compiles nothing.
//
//   node code-cache-worker.cjs BUILD_DIRECTORY PROGRAM [ARGUMENT…]
const { writeFileSync } = require('node:fs');
const { join } = require('node:path');

const [directory, program, ...args] = process.argv.slice(2);
const { run } = require(join(directory, 'start.cjs'));
process.argv.splice(1, Infinity, join(directory, `${program}.cjs`), ...args);
let compiled = new Map();
process.once('exit', () => {
  for (const [name, script] of compiled) {
    writeFileSync(join(directory, `${name}.cache`), script.createCachedData());
  }
});
process.once('message', () => process.exit(0));
// Waiting to be told must not keep a program running that is done.
process.channel?.unref();
compiled = run(directory, program);
