import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeDirectoryInRoot } from './rootfs-directory.ts';

let top: string;
let root: string;
let descriptors: number;
beforeEach(() => {
  top = mkdtempSync('/tmp/rootfs-');
  root = join(top, 'root');
  mkdirSync(root);
  mkdirSync(join(top, 'outside'));
  descriptors = readdirSync('/proc/self/fd').length;
});
afterEach(() => {
  expect(readdirSync('/proc/self/fd')).toHaveLength(descriptors);
  expect(readdirSync(join(top, 'outside'))).toEqual([]);
  expect(readdirSync(top).sort()).toEqual(['outside', 'root']);
  rmSync(top, { recursive: true });
});

it('makes every directory of the path that is missing', () => {
  makeDirectoryInRoot(root, '/a//b/./c/');
  makeDirectoryInRoot(root, 'a/b/c');
  expect(statSync(join(root, 'a/b/c')).isDirectory()).toBe(true);
});

it('ends ".." at the root', () => {
  makeDirectoryInRoot(root, '/a/../../../../outside/b/..');
  expect(existsSync(join(root, 'outside/b'))).toBe(true);
});

it('follows links as the container will: from its own root', () => {
  mkdirSync(join(root, 'run'));
  mkdirSync(join(root, 'var'));
  symlinkSync('/run', join(root, 'var/run'));
  symlinkSync('../../..', join(root, 'var/up'));
  symlinkSync(join(top, 'outside'), join(root, 'out'));
  makeDirectoryInRoot(root, '/var/run/x');
  expect(existsSync(join(root, 'run/x'))).toBe(true);
  makeDirectoryInRoot(root, '/var/up/y');
  expect(existsSync(join(root, 'y'))).toBe(true);
  makeDirectoryInRoot(root, '/out/z');
  expect(existsSync(join(root, top, 'outside/z'))).toBe(true);
});

it('gives up on a loop of links and on what is no directory', () => {
  symlinkSync('b', join(root, 'a'));
  symlinkSync('a', join(root, 'b'));
  writeFileSync(join(root, 'file'), '');
  expect(() => makeDirectoryInRoot(root, '/a/x')).toThrow(/too many symbolic links/);
  expect(() => makeDirectoryInRoot(root, '/file/x')).toThrow(/ENOTDIR/);
});
