import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { awaitFile, tryAwaitRemoval } from './completed-file.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-file-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** What is told within the next turns of the event loop. */
async function settled(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => (done = true));
  for (let count = 0; count < 5; count++) await turn();
  return done;
}

test('a file is complete when it is renamed to its name', async () => {
  using file = awaitFile(directory, 'pid');
  writeFileSync(join(directory, '.pid'), '12');
  writeFileSync(join(directory, 'pid2'), '12');
  expect(await settled(file.complete)).toBe(false);
  renameSync(join(directory, '.pid'), join(directory, 'pid'));
  await file.complete;
});

test('a file that is written in place is complete when it is closed', async () => {
  using file = awaitFile(directory, 'pid');
  const fd = openSync(join(directory, 'pid'), 'w');
  writeSync(fd, '1');
  expect(await settled(file.complete)).toBe(false);
  writeSync(fd, '2');
  closeSync(fd);
  await file.complete;
});

test('who has stopped waiting is told nothing, and a directory may go while it is waited in', async () => {
  const gone = awaitFile(directory, 'pid');
  gone[Symbol.dispose]();
  writeFileSync(join(directory, 'pid'), '12');
  expect(await settled(gone.complete)).toBe(false);
  const again = awaitFile(directory, 'pid');
  rmSync(directory, { recursive: true });
  expect(await settled(again.complete)).toBe(false);
  again[Symbol.dispose]();
});

test('the removal of a file', async () => {
  expect(tryAwaitRemoval(join(directory, 'none'), 'fifo')).toBeUndefined();
  writeFileSync(join(directory, 'fifo'), '');
  writeFileSync(join(directory, 'other'), '');
  const file = tryAwaitRemoval(directory, 'fifo');
  if (file === undefined) throw new Error('not watched');
  using _file = file;
  rmSync(join(directory, 'other'));
  expect(await settled(file.complete)).toBe(false);
  rmSync(join(directory, 'fifo'));
  await file.complete;
});

test('a thousand directories at once, each told of its own file', async () => {
  const names = Array.from({ length: 1000 }, () => mkdtempSync(join(directory, 'd')));
  const files = names.map((name) => awaitFile(name, 'pid'));
  for (const name of names) writeFileSync(join(name, 'pid'), '1');
  await Promise.all(files.map((file) => file.complete));
  for (const file of files) file[Symbol.dispose]();
});

test('a directory that is not there is named', () => {
  expect(() => awaitFile(join(directory, 'none'), 'pid')).toThrow(
    /inotify_add_watch .*none: ENOENT/,
  );
});

test('where the kernel has no instance left, a wait is only a shortcut that is not there', async () => {
  const module = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);
  const script = `
    import { openSync } from 'node:fs';
    import { prepareFileWaits, tryAwaitFile } from ${module('./completed-file.ts')};
    import { native } from ${module('./native.ts')};
    native();
    // EMFILE, as with too many instances.
    try { for (;;) openSync('/dev/null'); } catch {}
    prepareFileWaits();
    process.exitCode = tryAwaitFile('/tmp', 'pid') === undefined ? 42 : 1;`;
  const args = ['--nofile=200', process.execPath, '--input-type=module', '-e', script];
  const child = spawn('prlimit', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  expect(await once(child, 'exit')).toEqual([42, null]);
});
