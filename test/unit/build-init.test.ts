import { spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const project = resolve(import.meta.dirname, '../..');
const folder = process.arch === 'x64' ? 'amd64' : process.arch;
const otherFolder = folder === 'amd64' ? 'arm64' : 'amd64';
let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'gcs-build-init-'));
  mkdirSync(join(root, 'scripts'));
  for (const name of ['build-init.ts', 'compile-c.ts']) {
    cpSync(join(project, 'scripts', name), join(root, 'scripts', name));
  }
  cpSync(join(project, 'native'), join(root, 'native'), { recursive: true });
  cpSync(join(project, 'package.json'), join(root, 'package.json'));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

function build(args: string[] = [], env: Record<string, string> = {}) {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    [join(root, 'scripts/build-init.ts'), ...args],
    { encoding: 'utf8', env: { ...process.env, ...env } },
  );
  return { output: stdout + stderr, status };
}

const binary = () => readFileSync(join(root, `build/init/${folder}/init`));

test('builds once, the same bytes each time, and again only after a change', () => {
  expect(build()).toEqual({
    output: expect.stringMatching(/^init \(\w+\): built in \d+ ms, \d+ KiB\n$/),
    status: 0,
  });
  expect(build()).toEqual({ output: `init (${folder}): up to date\n`, status: 0 });
  const first = binary();
  rmSync(join(root, 'build'), { recursive: true });
  build([folder]);
  expect(binary().equals(first)).toBe(true);
  appendFileSync(join(root, 'native/init/init.h'), '\n// changed\n');
  expect(build().output).toMatch(/built/);
}, 60_000);

test('a source that does not compile is shown and keeps the program that was there', () => {
  const before = binary();
  appendFileSync(join(root, 'native/init/dial.c'), '\nint broken = ;\n');
  const { output, status } = build();
  expect(status).toBe(1);
  expect(output).toContain('dial.c');
  expect(binary().equals(before)).toBe(true);
}, 60_000);

test('a missing compiler is named with the remedy', () => {
  const nowhere = { PATH: '/nonexistent' };
  expect(build([], nowhere)).toEqual({
    output: 'the C compiler musl-gcc is missing: apt-get install musl-tools\n',
    status: 1,
  });
  const { output } = build([otherFolder], nowhere);
  expect(output).toMatch(/^the C compiler \S+-linux-gnu-gcc is missing: apt-get install .*gcc-/);
});

test('a processor we do not build for is refused', () => {
  expect(build(['mips'])).toEqual({
    output: 'mips: init is built for amd64 and arm64\n',
    status: 1,
  });
});
