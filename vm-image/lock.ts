import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** Says to ourselves that the lock is held. */
const HELD = 'GCS_IMAGE_LOCK';
/** EX_TEMPFAIL of sysexits.h: none of our own exit codes. */
const TAKEN = 75;

/**
 * Runs this program again under flock(1), one at a time for each file, so that two builds do not
 * take the ground from under each other; resolves with its exit code. Undefined: the lock is held.
 */
export function runUnderLock(file: string): number | undefined {
  if (process.env[HELD] === file) return undefined;
  mkdirSync(dirname(file), { recursive: true });
  const run = (...options: string[]) =>
    spawnSync(
      'flock',
      [...options, '-E', `${TAKEN}`, file, process.execPath, ...process.argv.slice(1)],
      { stdio: 'inherit', env: { ...process.env, [HELD]: file } },
    );
  let result = run('--nonblock');
  if (result.status === TAKEN) {
    console.error('vm-image: another build is under way, waiting for its end');
    result = run();
  }
  if (result.error !== undefined) throw new Error(`flock (util-linux): ${result.error.message}`);
  return result.status ?? 1;
}
