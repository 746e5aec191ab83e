/**
 * Test bodies that mount: each runs in a process of its own in a private mount namespace, so that
 * nothing it does reaches the machine's mounts and all of it is gone when the process ends.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'vitest';

export type Cases = Readonly<Record<string, () => Promise<void>>>;

const RUNNER = join(import.meta.dirname, 'run-case.ts');
const NODE = join(import.meta.dirname, '../../../node_modules/.bin/node');

/** One test for each case of a module; `file` is the path of the module that exports `cases`. */
export function testCases(file: string, cases: Cases): void {
  for (const name of Object.keys(cases)) test(name, () => runPrivately(file, name));
}

async function runPrivately(file: string, name: string): Promise<void> {
  // What the case finds as its place: a tmpfs of its own namespace is mounted over it.
  const directory = mkdtempSync(join(tmpdir(), 'gcs-mounts-'));
  try {
    const script = 'mount -t tmpfs -o mode=755 tmpfs "$GCS_TEST_PLACE" && exec "$@"';
    const unshare = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh'];
    // Should the test be killed, the case ends too.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...unshare, NODE, RUNNER, file, name], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, GCS_TEST_PLACE: directory },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
    if (code !== 0) throw new Error(`${signal ?? `exit code ${code}`}\n${output}`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Inside a case: an empty directory that is the case's own. */
export function place(): string {
  const directory = process.env.GCS_TEST_PLACE;
  if (directory === undefined) throw new Error('not in a private mount namespace');
  return directory;
}
