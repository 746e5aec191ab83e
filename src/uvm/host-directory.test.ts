import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkHostDirectory, removeHostDirectory } from './host-directory.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-host-directory-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test.each([
  '',
  'relative/x',
  '/',
  '//',
  '/run/../etc',
  '/a\0b',
  `/${'x'.repeat(5000)}`,
])('the path %j is refused with the name of its field', (path) => {
  expect(() => checkHostDirectory(path, 'OciBundlePath')).toThrow(
    expect.objectContaining({ code: 'invalid-argument', field: 'OciBundlePath' }),
  );
});

test('a path is brought to its plain form', () => {
  expect(checkHostDirectory('/run/gcs//c/x/', 'OciBundlePath')).toBe('/run/gcs/c/x');
});

test('a directory the agent made is removed with all that is in it', async () => {
  writeFileSync(join(directory, 'config.json'), '{}');
  expect(await removeHostDirectory(directory, { madeByUs: true })).toBe('removed');
  expect(existsSync(directory)).toBe(false);
  expect(await removeHostDirectory(directory, { madeByUs: true })).toBe('absent');
});

test("a directory that was there before stays when it is not below the agent's roots", async () => {
  expect(await removeHostDirectory(directory, { madeByUs: false })).toMatchObject({
    kept: expect.stringContaining('was there before'),
  });
  expect(existsSync(directory)).toBe(true);
});

test('a symbolic link is not followed', async () => {
  const target = join(directory, 'target');
  mkdirSync(target);
  writeFileSync(join(target, 'precious'), '');
  const link = join(directory, 'link');
  symlinkSync(target, link);
  expect(await removeHostDirectory(link, { madeByUs: true })).toMatchObject({
    kept: 'is a symbolic link',
  });
  expect(existsSync(join(target, 'precious'))).toBe(true);
});

test('a mount below keeps its content and is named', async () => {
  // /proc is a mount on every machine; nothing of it is touched because the check comes first.
  expect(await removeHostDirectory('/proc', { madeByUs: true })).toMatchObject({
    kept: expect.stringContaining('/proc'),
  });
});
