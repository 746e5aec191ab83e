import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-launch-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** A tree as an image has it, whose program prints what it was given. */
function makeInstallation(): void {
  mkdirSync(join(directory, 'opt/bin'), { recursive: true });
  mkdirSync(join(directory, 'opt/build'));
  for (const name of ['gcs', 'gcsctl']) {
    copyFileSync(join(ROOT, 'bin', name), join(directory, 'opt/bin', name));
  }
  writeFileSync(
    join(directory, 'opt/build/start.cjs'),
    'console.log(JSON.stringify({ execPath: process.execPath, args: process.argv.slice(2) }))',
  );
  symlinkSync(process.execPath, join(directory, 'opt/node'));
}

function run(file: string, args: string[], env: Record<string, string> = {}) {
  const output = execFileSync(file, args, {
    cwd: directory,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env },
  });
  return JSON.parse(output) as { execPath: string; args: string[] };
}

test('every argument reaches the program untouched', () => {
  makeInstallation();
  const args = ['-v4', '--log-format', 'json', '', 'two words', '$HOME', '--', '-x'];
  expect(run('opt/bin/gcs', args).args).toEqual(['gcs', ...args]);
  expect(run(join(directory, 'opt/bin/gcsctl'), args).args).toEqual(['gcsctl', ...args]);
});

test('called through symbolic links, absolute and relative, also by a search of PATH', () => {
  makeInstallation();
  mkdirSync(join(directory, 'usr'));
  symlinkSync('../opt/bin/gcs', join(directory, 'usr/agent'));
  symlinkSync(join(directory, 'usr/agent'), join(directory, 'usr/again'));
  expect(run('usr/again', ['a']).args).toEqual(['gcs', 'a']);
  const PATH = `${join(directory, 'usr')}:${process.env.PATH}`;
  expect(run('sh', ['-c', 'again b'], { PATH }).args).toEqual(['gcs', 'b']);
});

test('the Node of GCS_NODE comes first', () => {
  makeInstallation();
  const wrapper = join(directory, 'other-node');
  writeFileSync(wrapper, `#!/bin/sh\nexec '${process.execPath}' "$@" other\n`, { mode: 0o755 });
  expect(run('opt/bin/gcs', ['a'], { GCS_NODE: wrapper }).args).toEqual(['gcs', 'a', 'other']);
});

test('-supervise is taken out of the command line, and init gets the launcher to start', () => {
  makeInstallation();
  const init = join(directory, 'opt/init');
  writeFileSync(init, '#!/bin/sh\nprintf "%s\\n" "$@"\n', { mode: 0o755 });
  const started = (args: string[]) =>
    execFileSync('opt/bin/gcs', args, { cwd: directory, encoding: 'utf8' })
      .split('\n')
      .slice(0, -1);
  const gcs = 'opt/bin/../bin/gcs';
  expect(started(['-v4', '-supervise', 'two words', '$HOME', ''])).toEqual([
    '--supervise',
    '--run',
    '/run/gcs',
    '--',
    gcs,
    '-v4',
    'two words',
    '$HOME',
    '',
  ]);
  expect(started(['--supervise=/run/my gcs'])).toEqual([
    '--supervise',
    '--run',
    '/run/my gcs',
    '--',
    gcs,
  ]);
  rmSync(init);
  expect(() => started(['-supervise'])).toThrow(
    /no init found for -supervise: run 'npm run build'/,
  );
});

test('without any Node the remedy is named', () => {
  makeInstallation();
  rmSync(join(directory, 'opt/node'));
  expect(() => run('opt/bin/gcs', [])).toThrow(/no Node found: run 'npm run setup'/);
});

test('the code caches fit the bundles they were made for', () => {
  const { compile } = createRequire(import.meta.url)(join(ROOT, 'build/start.cjs'));
  for (const program of ['gcs', 'gcs-later', 'gcsctl', 'gcs-oci']) {
    expect(compile(join(ROOT, 'build'), program).script.cachedDataRejected).toBe(false);
  }
});
