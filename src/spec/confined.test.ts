import {
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { keepMade, type MadeDirectory, openConfined, removeMade } from './confined.ts';

const field = 'mounts[0].source';
let root: string;
let made: MadeDirectory[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gcs-confined-'));
  made = [];
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
});

const opened = (path: string) => openConfined(root, path, { mode: 0o777, field, made });

test('what is there is opened, file or directory', () => {
  mkdirSync(join(root, 'a'));
  writeFileSync(join(root, 'a/f'), '');
  using directory = opened('a');
  using file = opened('a/f');
  using itself = opened('');
  expect(fstatSync(directory.raw).ino).toBe(statSync(join(root, 'a')).ino);
  expect(fstatSync(file.raw).ino).toBe(statSync(join(root, 'a/f')).ino);
  expect(fstatSync(itself.raw).ino).toBe(statSync(root).ino);
  expect(made).toEqual([]);
});

test('what is missing is made with exactly the mode, and can be taken back', () => {
  mkdirSync(join(root, 'a'));
  opened('a/b/c').close();
  expect(statSync(join(root, 'a/b')).mode & 0o7777).toBe(0o777);
  expect(statSync(join(root, 'a/b/c')).mode & 0o7777).toBe(0o777);
  removeMade(made);
  expect(existsSync(join(root, 'a/b'))).toBe(false);
  expect(existsSync(join(root, 'a'))).toBe(true);
});

test('what somebody uses by now is not taken back', () => {
  opened('a/b').close();
  writeFileSync(join(root, 'a/f'), '');
  removeMade(made);
  expect(existsSync(join(root, 'a/f'))).toBe(true);
  expect(existsSync(join(root, 'a/b'))).toBe(false);
});

test('what is kept stays', () => {
  opened('a').close();
  keepMade(made);
  removeMade(made);
  expect(existsSync(join(root, 'a'))).toBe(true);
});

test.each(['out', 'out/x', 'in', 'in/x', 'loop', 'dangling'])('a link is refused: %s', (path) => {
  mkdirSync(join(root, 'real'));
  symlinkSync('/tmp', join(root, 'out'));
  symlinkSync('real', join(root, 'in'));
  symlinkSync('loop', join(root, 'loop'));
  symlinkSync('made-by-nobody', join(root, 'dangling'));
  expect(() => opened(path)).toThrow(expect.objectContaining({ code: 'invalid-argument', field }));
  expect(existsSync(join(root, 'made-by-nobody'))).toBe(false);
  expect(made).toEqual([]);
});

test('a file on the way is refused, and what was made before it can be taken back', () => {
  writeFileSync(join(root, 'f'), '');
  expect(() => opened('f/x')).toThrow(expect.objectContaining({ code: 'invalid-argument', field }));
});
