import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findFileSystem, parseFileSystem } from './file-system.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-fs-'));
  mkdirSync(join(directory, 'source'));
  writeFileSync(join(directory, 'source/file'), 'x'.repeat(10_000));
});
afterAll(() => rmSync(directory, { recursive: true }));

function image(size: number): string {
  const path = join(directory, 'image');
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

test('ext4: its size, and not that of the device', async () => {
  const path = image(20 * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', '-F', '-b', '1024', path, '8M']);
  expect(await findFileSystem(path)).toEqual({ type: 'ext4', size: 8n * 1024n * 1024n });
});

test('EROFS', async () => {
  const path = join(directory, 'erofs');
  execFileSync('mkfs.erofs', [path, join(directory, 'source')], { stdio: 'ignore' });
  expect(await findFileSystem(path)).toMatchObject({ type: 'erofs' });
});

test.each([0, 100, 4095])('%i bytes hold none', async (size) => {
  expect(await findFileSystem(image(size))).toBeUndefined();
});

test('zeroes are none', async () => {
  expect(await findFileSystem(image(4096))).toBeUndefined();
});

test('whatever a device holds is read without a fault', () => {
  const magics: [number, string][] = [
    [0, '58465342'],
    [0, '68737173'],
    [1024, 'e2e1f5e0'],
    [1080, '53ef'],
  ];
  const head = fc.uint8Array({ minLength: 4096, maxLength: 4096 });
  fc.assert(
    fc.property(head, fc.constantFrom(...magics), (bytes, [at, magic]) => {
      const buffer = Buffer.from(bytes);
      buffer.write(magic, at, 'hex');
      const found = parseFileSystem(buffer);
      if (found !== undefined) expect(found.size >= 0n).toBe(true);
    }),
  );
});
