import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const project = resolve(import.meta.dirname, '../..');
let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'gcs-build-'));
  mkdirSync(join(root, 'scripts'));
  for (const name of ['build-native.ts', 'compile-c.ts']) {
    cpSync(join(project, 'scripts', name), join(root, 'scripts', name));
  }
  cpSync(join(project, 'native'), join(root, 'native'), { recursive: true });
  symlinkSync(join(project, 'node_modules'), join(root, 'node_modules'));
  cpSync(join(project, 'package.json'), join(root, 'package.json'));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

function build(env: Record<string, string> = {}): { output: string; status: number | null } {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [join(root, 'scripts/build-native.ts')],
    { encoding: 'utf8', env: { ...process.env, ...env } },
  );
  return { output: stdout + stderr, status };
}

test('builds once, again only after a change, and leaves nothing but the result', () => {
  expect(build()).toEqual({ output: expect.stringMatching(/^native addon: built/), status: 0 });
  expect(build()).toEqual({ output: 'native addon: up to date\n', status: 0 });
  appendFileSync(join(root, 'native/addon/native.h'), '\n// changed\n');
  expect(build().output).toMatch(/built/);
  expect(readdirSync(join(root, 'build/native')).sort()).toEqual([
    'gcs_native.node',
    'gcs_native.node.stamp',
  ]);
}, 60_000);

test('a source that does not compile is shown and keeps the addon that was there', () => {
  appendFileSync(join(root, 'native/addon/pty.c'), '\nint broken = ;\n');
  const { output, status } = build();
  expect(status).toBe(1);
  expect(output).toContain('pty.c');
  expect(existsSync(join(root, 'build/native/gcs_native.node'))).toBe(true);
  expect(readdirSync(join(root, 'build/native'))).toHaveLength(2);
}, 60_000);

test('a missing compiler is named with the remedy', () => {
  const { output, status } = build({ PATH: '/nonexistent' });
  expect(status).toBe(1);
  expect(output).toContain('apt-get install gcc libc6-dev');
});
