import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { ownArchitecture } from './architectures.ts';
import { DebianArchive } from './debian.ts';

test('a mirror that has no package lists is named, with the remedy', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-debian-'));
  const empty = createServer((_, response) => response.writeHead(404).end());
  empty.listen(0, '127.0.0.1');
  await once(empty, 'listening');
  const address = `http://127.0.0.1:${(empty.address() as AddressInfo).port}`;
  vi.stubEnv('GCS_DEBIAN_MIRROR', address);
  vi.stubEnv('http_proxy', '');
  try {
    const archive = new DebianArchive(join(directory, 'cache'), ownArchitecture());
    const text = await archive.fetch('linux-image-', ['runc']).then(
      () => 'fetched',
      (error: Error) => error.message,
    );
    expect(text).toContain(`cannot be fetched from ${address}`);
    expect(text).toContain('GCS_DEBIAN_MIRROR');
    expect(text).toMatch(/^E: .*Release file/m);
  } finally {
    vi.unstubAllEnvs();
    empty.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
