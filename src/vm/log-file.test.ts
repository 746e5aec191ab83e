import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LogFile } from './log-file.ts';

const MIB = 1024 ** 2;

test('a log of 16 MiB becomes FILE.1, and the one before it goes', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-log-'));
  try {
    const path = join(directory, 'console.log');
    const part = Buffer.alloc(4 * MIB, 'a');
    using log = new LogFile(path);
    for (let n = 0; n < 4; n++) log.append(part);
    expect([statSync(path).size, existsSync(`${path}.1`)]).toEqual([16 * MIB, false]);
    log.append(Buffer.from('b'));
    expect([statSync(path).size, statSync(`${path}.1`).size]).toEqual([1, 16 * MIB]);
    for (let n = 0; n < 4; n++) log.append(part);
    expect([statSync(path).size, statSync(`${path}.1`).size]).toEqual([4 * MIB, 12 * MIB + 1]);
    expect(readFileSync(`${path}.1`).subarray(0, 2).toString()).toBe('ba');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
