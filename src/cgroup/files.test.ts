import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readFileIfPresent } from './files.ts';

test('a statistics file is read up to one mebibyte, and refused beyond', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-files-'));
  try {
    const path = join(directory, 'io.stat');
    writeFileSync(path, 'x'.repeat(1024 * 1024));
    expect(readFileIfPresent(path)?.length).toBe(1024 * 1024);
    writeFileSync(path, 'x'.repeat(1024 * 1024 + 4096));
    expect(() => readFileIfPresent(path)).toThrow(`${path} is larger than 1048576 bytes`);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
