// Makes a fresh clone ready, then does what was asked. Runs on whatever Node the machine has and
// needs nothing installed: it is what installs. A second run checks and does nothing.
//
//   node scripts/setup.mjs                   only set up
//   node scripts/setup.mjs start             … and run the demonstration
//   node scripts/setup.mjs test [ARGUMENT…]  … and run vitest with these arguments
//   node scripts/setup.mjs bench [ARGUMENT…] … and run the benchmark
//   node scripts/setup.mjs vm-image [ARGUMENT…]  … and build the VM's image
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { ensureBuilt } from './setup/built.mjs';
import { ensureDebianPackages } from './setup/debian-packages.mjs';
import { ensureNpmPackages, pinnedNode, ROOT } from './setup/npm-packages.mjs';
import { Progress, SetupError } from './setup/progress.mjs';
import { checkRights } from './setup/rights.mjs';

const ACTIONS = {
  start: ['scripts/demo.ts'],
  test: ['node_modules/vitest/vitest.mjs', 'run'],
  bench: ['bench/main.ts'],
  'vm-image': ['vm-image/build.ts'],
};

const [action, ...args] = process.argv.slice(2);

function setUp() {
  const progress = new Progress();
  checkRights(progress);
  ensureDebianPackages(progress);
  ensureNpmPackages(progress);
  ensureBuilt(progress);
  progress.finish();
}

/** Runs the action under the pinned Node; the terminal's signals reach it, and it decides when to end. */
function run([script, ...fixed]) {
  const node = pinnedNode();
  const child = spawn(node, [join(ROOT, script), ...fixed, ...args], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}` },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // A terminal's Ctrl-C goes to the whole process group, a kill only to this process.
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0);
  });
}

try {
  if (action !== undefined && !Object.hasOwn(ACTIONS, action)) {
    throw new SetupError(`unknown action ${action}: one of ${Object.keys(ACTIONS).join(', ')}`);
  }
  setUp();
  if (action !== undefined) run(ACTIONS[action]);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`\nsetup: ${error.message}`);
  process.exitCode = 1;
}
