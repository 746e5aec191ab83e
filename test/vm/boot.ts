/** Starts the VM that the tests share, unless $GCS_TEST_VM names one that runs. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';
import '../support/suite-context.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export default async function boot(project: TestProject): Promise<() => void> {
  const given = process.env.GCS_TEST_VM;
  if (given !== undefined) {
    project.provide('gcsVm', given);
    return () => {};
  }
  const run = (file: string, ...args: string[]): void => {
    execFileSync(process.execPath, [join(ROOT, file), ...args], { stdio: ['ignore', 2, 2] });
  };
  run('scripts/build-init.ts');
  run('vm-image/build.ts');
  const base = mkdtempSync(join(tmpdir(), 'gcs-vm-'));
  const gcsctl = (...args: string[]): void => {
    const env = { ...process.env, GCSCTL_VM_DIR: base };
    execFileSync(join(ROOT, 'bin/gcsctl'), args, { stdio: ['ignore', 2, 2], env });
  };
  const teardown = (): void => {
    try {
      gcsctl('vm', 'down', 'shared');
    } finally {
      rmSync(base, { recursive: true, force: true });
    }
  };
  try {
    // No debug log: it goes to the serial console too, whose every byte costs an exit of the VM.
    const agent = ['--', '-log-format', 'text', '-loglevel', 'info'];
    const memory = ['--memory', '768m', '--max-memory', '4g'];
    gcsctl('vm', 'up', '--name', 'shared', ...memory, ...agent);
  } catch (error) {
    teardown();
    throw error;
  }
  project.provide('gcsVm', join(base, 'shared'));
  return teardown;
}
