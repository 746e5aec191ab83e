import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startRawAgent } from '../support/agent-process.ts';
import { RAW } from '../support/raw-client.ts';

/** Writes the modules of Node that were loaded after it, when the process ends. */
const RECORDER = `
const before = new Set(process.moduleLoadList);
process.once('exit', () => {
  const loaded = process.moduleLoadList.filter((name) => !before.has(name));
  require('node:fs').writeFileSync(process.env.LOADED_FILE, loaded.join('\\n'));
});
`;

/** Each costs from half a millisecond to seven, in a start of forty; nothing before the first container needs one. */
const DEAR = ['perf_hooks', 'net', 'crypto', 'fs/promises', 'child_process', 'tty'];

test('to start, serve and end, the agent loads none of the modules of Node that cost most', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-start-'));
  try {
    const recorder = join(directory, 'recorder.cjs');
    const loadedFile = join(directory, 'loaded');
    writeFileSync(recorder, RECORDER);
    {
      const env = { NODE_OPTIONS: `--require ${recorder}`, LOADED_FILE: loadedFile };
      await using raw = await startRawAgent({ env });
      // Needs all that serves requests, and nothing else.
      await raw.bridge.request(RAW.start, { ContainerId: 'none' });
      raw.agent.kill();
      await raw.agent.exited;
    }
    const loaded = readFileSync(loadedFile, 'utf8').split('\n');
    expect(loaded).toContain('NativeModule vm');
    expect(loaded.filter((name) => DEAR.includes(name.replace('NativeModule ', '')))).toEqual([]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
