import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { writeSecurityContext } from './security-context.ts';

function root(): string {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-context-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('documents are written for every user to read, and taken back', () => {
  const directory = join(root(), 'security-context-x');
  const undo = writeSecurityContext({ directory, documents: [{ name: 'a', content: 'text' }] });
  expect(readFileSync(join(directory, 'a'), 'utf8')).toBe('text');
  expect(statSync(directory).mode & 0o777).toBe(0o755);
  expect(statSync(join(directory, 'a')).mode & 0o777).toBe(0o444);
  undo();
  expect(existsSync(directory)).toBe(false);
});

test('nothing of the image is written over, nor left half written', () => {
  const taken = join(root(), 'taken');
  mkdirSync(taken);
  expect(() => writeSecurityContext({ directory: taken, documents: [] })).toThrow(/EEXIST/);
  const directory = join(taken, 'x');
  const twice = [1, 2].map(() => ({ name: 'a', content: '' }));
  expect(() => writeSecurityContext({ directory, documents: twice })).toThrow(/EEXIST/);
  expect(existsSync(directory)).toBe(false);
  expect(existsSync(taken)).toBe(true);
});
