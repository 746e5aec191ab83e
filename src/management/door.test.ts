import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, type Metafile } from 'esbuild';
import { expect, test } from 'vitest';
import { type Logger, silentLogger } from '../log/logger.ts';
import { EmulatedHost } from '../vsock/emulator/host.ts';
import { HybridTransport } from '../vsock/hybrid.ts';
import { MANAGEMENT_PORT } from '../vsock/ports.ts';
import { ManagementDoor } from './door.ts';

/** Files that are evaluated when a program starts: all that no import() stands before. */
function evaluatedAtStart(metafile: Metafile, entry: string): Set<string> {
  const reached = new Set([entry]);
  for (const path of reached) {
    for (const imported of metafile.inputs[path]?.imports ?? []) {
      if (imported.kind !== 'dynamic-import' && !imported.external) reached.add(imported.path);
    }
  }
  return reached;
}

test('an agent nobody manages loads two small files of the door and no JSON-RPC', async () => {
  const root = new URL('../..', import.meta.url).pathname;
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['src/main.ts'],
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    format: 'esm',
  });
  const loaded = [...evaluatedAtStart(metafile, 'src/main.ts')];
  const ours = loaded.filter((path) => /^src\/(management|uvm\/management)\/|jsonrpc/.test(path));
  expect(ours).toEqual(['src/management/door.ts']);
  expect(loaded).toContain('src/agent/door.ts');
});

function recording(): { log: Logger; entries: string[] } {
  const entries: string[] = [];
  const note = (level: string) => (message: string) => void entries.push(`${level}: ${message}`);
  const log = { ...silentLogger, debug: note('debug'), warning: note('warning') };
  return { log, entries };
}

async function withPath(body: (path: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-door-'));
  try {
    await body(join(directory, 'v'));
    expect(readdirSync(directory).filter((name) => name !== 'v')).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const load = async (): Promise<never> => {
  throw new Error('it cannot be loaded');
};

test.each([
  ['a file that is no socket', (path: string) => writeFileSync(path, '')],
  ['a directory there is not', (path: string) => rmSync(join(path, '..'), { recursive: true })],
])('a PATH with %s is logged, and that is all', async (_name, spoil) => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-door-'));
  const path = join(directory, 'v');
  spoil(path);
  await using transport = new HybridTransport(path);
  const { log, entries } = recording();
  expect(await ManagementDoor.open({ transport, log, load })).toBeUndefined();
  expect(entries).toEqual(['warning: no management door']);
  rmSync(directory, { recursive: true, force: true });
});

test('a PATH that another agent listens at stays its own', async () => {
  await withPath(async (path) => {
    await using other = new HybridTransport(path);
    await using listener = await other.listen(1);
    await using transport = new HybridTransport(path);
    const { log, entries } = recording();
    expect(await ManagementDoor.open({ transport, log, load })).toBeUndefined();
    expect(entries).toEqual(['warning: no management door']);
    await using host = new EmulatedHost(path);
    const accepted = listener.accept();
    (await host.dial(1)).close();
    (await accepted).close();
  });
});

test('what cannot be loaded closes the client and is tried again for the next', async () => {
  await withPath(async (path) => {
    await using transport = new HybridTransport(path);
    const { log, entries } = recording();
    await using _door = await ManagementDoor.open({ transport, log, load });
    await using host = new EmulatedHost(path);
    for (let round = 1; round <= 2; round += 1) {
      const stream = (await host.dial(MANAGEMENT_PORT)).stream();
      await new Promise((resolve) => stream.resume().on('end', resolve));
      stream.destroy();
      expect(entries).toHaveLength(round);
    }
  });
});
