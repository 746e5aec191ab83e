import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readKernelFile } from './kernel-file.ts';

const options = { largest: 1024 * 1024, absent: new Set([constants.errno.ENOENT]) };

function directory(): string {
  const made = mkdtempSync(join(tmpdir(), 'gcs-kernel-file-'));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

test('a file is read whole, however long', () => {
  const path = join(directory(), 'long');
  const text = Array.from({ length: 20_000 }, (_, line) => `line ${line}`).join('\n');
  writeFileSync(path, text);
  expect(readKernelFile(path, options)).toBe(text);
  writeFileSync(path, '');
  expect(readKernelFile(path, options)).toBe('');
});

test('a file of proc is read to its end, which its size does not tell', () => {
  expect(readKernelFile('/proc/self/stat', options)).toMatch(new RegExp(`^${process.pid} `));
});

test('what is longer than allowed is refused by name', () => {
  const path = join(directory(), 'longer');
  writeFileSync(path, 'x'.repeat(101));
  const strict = { ...options, largest: 100 };
  expect(() => readKernelFile(path, strict)).toThrow(`${path} is larger than 100 bytes`);
});

test('a file that is not there is undefined, any other failure an error', () => {
  const there = directory();
  expect(readKernelFile(join(there, 'gone'), options)).toBeUndefined();
  expect(() => readKernelFile(there, options)).toThrow(
    expect.objectContaining({ code: 'EISDIR', syscall: 'read' }),
  );
  expect(() => readKernelFile('/proc/self\0/stat', options)).toThrow(
    expect.objectContaining({ code: 'EINVAL' }),
  );
});

test('no descriptor is left open, whichever way it ends', () => {
  const there = directory();
  const open = (): number => readdirSync('/proc/self/fd').length;
  const before = open();
  readKernelFile('/proc/self/stat', options);
  expect(() => readKernelFile(there, options)).toThrow();
  readKernelFile(join(there, 'gone'), options);
  expect(open()).toBe(before);
});
