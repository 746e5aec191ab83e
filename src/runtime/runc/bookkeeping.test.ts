import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseContainerId } from '../container-id.ts';
import { Bookkeeping } from './bookkeeping.ts';

let top: string;
const id = parseContainerId('box');
beforeEach(() => {
  top = mkdtempSync('/tmp/bookkeeping-');
});
afterEach(() => rmSync(top, { recursive: true }));

it('makes its root for nobody else, also when it was there', () => {
  const root = join(top, 'a/b');
  expect(new Bookkeeping(root).root).toBe(root);
  expect(statSync(root).mode & 0o777).toBe(0o700);
  chmodSync(root, 0o755);
  new Bookkeeping(root);
  expect(statSync(root).mode & 0o777).toBe(0o700);
});

it('moves the directory of a process to its pid', () => {
  const books = new Bookkeeping(top);
  expect(books.addContainer(id)).toBe(true);
  expect(books.addContainer(id)).toBe(false);
  const directory = books.addProcess(id);
  expect(directory.path).toMatch(/\/box~[^/]+$/);
  writeFileSync(directory.pidFile, '17\n');
  expect(directory.readPid()).toBe(17);
  directory.settle(17);
  books.writeInitPid(id, 17);
  expect(directory.path).toBe(join(top, 'box/17'));
  expect(readFileSync(join(top, 'box/initpid'), 'utf8')).toBe('17');
  expect(readdirSync(top)).toEqual(['box']);
  directory.remove();
  directory.remove();
  books.removeContainer(id);
  expect(readdirSync(top)).toEqual([]);
});

it('replaces what an earlier process with the same pid has left', () => {
  const books = new Bookkeeping(top);
  books.addContainer(id);
  mkdirSync(join(top, 'box/17'));
  writeFileSync(join(top, 'box/17/old'), '');
  const directory = books.addProcess(id);
  writeFileSync(directory.pidFile, '17');
  directory.settle(17);
  expect(existsSync(join(top, 'box/17/old'))).toBe(false);
  expect(directory.readPid()).toBe(17);
});

it('finds room for the longest id', () => {
  const books = new Bookkeeping(top);
  const long = parseContainerId('x'.repeat(255));
  books.addContainer(long);
  const directory = books.addProcess(long);
  directory.settle(3);
  expect(existsSync(join(top, long, '3'))).toBe(true);
});

it.each([
  '',
  '0',
  '-1',
  '1 2',
  'x',
  '1e3',
  '99999999999999999999',
])('takes no pid from %j', (text) => {
  const directory = new Bookkeeping(top).addProcess(id);
  writeFileSync(directory.pidFile, text);
  expect(() => directory.readPid()).toThrow(/no pid/);
});
