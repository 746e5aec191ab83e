import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Logger } from '../log/logger.ts';
import { setCorePattern } from './core-dumps.ts';

let directory: string;
let file: string;
let lines: string[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-core-'));
  file = join(directory, 'core_pattern');
  writeFileSync(file, 'core');
  lines = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function logger(): Logger {
  const note = (level: string) => (message: string) => lines.push(`${level}: ${message}`);
  return new Proxy({} as Logger, { get: (_, level) => note(String(level)) });
}

test('the pattern is the kernel’s to take in a VM of ours', () => {
  setCorePattern({ pattern: '/run/cores/%e.%p', ownMachine: true, file }, logger());
  expect(readFileSync(file, 'utf8')).toBe('/run/cores/%e.%p');
  expect(lines).toEqual([]);
});

test('a machine that is not ours keeps its pattern, and the log says so', () => {
  setCorePattern({ pattern: '/run/cores/%e.%p', ownMachine: false, file }, logger());
  expect(readFileSync(file, 'utf8')).toBe('core');
  expect(lines).toEqual(['warning: -core-dump-location has no effect: the machine is not ours']);
});

test('without a pattern nothing is touched', () => {
  setCorePattern({ pattern: '', ownMachine: true, file }, logger());
  expect(readFileSync(file, 'utf8')).toBe('core');
});

test('a kernel that refuses does not stop the agent', () => {
  setCorePattern({ pattern: 'x', ownMachine: true, file: join(file, 'no') }, logger());
  expect(lines).toEqual(['error: core dump location not set']);
});
