import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readFileIfPresent } from './files.ts';

test('a statistics file is read up to one mebibyte, and refused beyond', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-files-'));
  try {
    const path = join(directory, 'io.stat');
    writeFileSync(path, 'x'.repeat(1024 * 1024));
    expect((await readFileIfPresent(path))?.length).toBe(1024 * 1024);
    writeFileSync(path, 'x'.repeat(1024 * 1024 + 4096));
    await expect(readFileIfPresent(path)).rejects.toThrow(`${path} is larger than 1048576 bytes`);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
