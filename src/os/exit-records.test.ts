import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ExitRecords } from './exit-records.ts';

let directory: string;
let records: ExitRecords;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-exits-'));
  records = new ExitRecords(directory);
});
afterEach(() => rmSync(directory, { recursive: true }));

/** As init writes it. */
function write(name: string, text: string): void {
  writeFileSync(join(directory, '.new'), text);
  renameSync(join(directory, '.new'), join(directory, name));
}

function inotifyDescriptors(): number {
  return readdirSync('/proc/self/fdinfo').length;
}

test.each([
  ['1 0 1795318833927561857\n', { kind: 'exited', code: 0 }],
  ['1 255 1795318833927561857\n', { kind: 'exited', code: 255 }],
  ['2 15 1795318833927561857\n', { kind: 'signaled', signal: 15, coreDumped: false }],
  ['3 11 1795318833927561857\n', { kind: 'signaled', signal: 11, coreDumped: true }],
])('%j is told as it is', (text, status) => {
  write('12.345', text);
  expect(records.read(12, 345)).toEqual({ status, endedAtNs: 1795318833927561857n });
});

test('a record is that of one process: the pid alone says nothing', () => {
  write('12.345', '1 0 1\n');
  expect(records.read(12, 346)).toBeUndefined();
  expect(records.read(1, 345)).toBeUndefined();
  records.forget(12, 346);
  expect(records.read(12, 345)).toBeDefined();
  records.forget(12, 345);
  expect(records.read(12, 345)).toBeUndefined();
});

test.each(['', '1 0', '1 0 1', 'a b c\n', '1 0 1 2\n'])('%j is no record', (text) => {
  write('1.2', text);
  expect(() => records.read(1, 2)).toThrow(/1\.2 is no exit record/);
});

test('one that comes later wakes who waits for it, and nobody else', async () => {
  const ended = new AbortController();
  const first = records.await(1, 100);
  const second = records.await(2, 200);
  const again = records.await(1, 100);
  const never = records.await(3, 300, { signal: ended.signal });
  write('2.200', '1 2 22\n');
  expect(await second).toEqual({ status: { kind: 'exited', code: 2 }, endedAtNs: 22n });
  write('1.100', '2 9 11\n');
  const expected = { status: { kind: 'signaled', signal: 9, coreDumped: false }, endedAtNs: 11n };
  expect(await first).toEqual(expected);
  expect(await again).toEqual(expected);
  ended.abort(new Error('enough'));
  await expect(never).rejects.toThrow('enough');
});

test('one that is there is given at once, and nothing stays open', async () => {
  const before = inotifyDescriptors();
  write('1.2', '1 3 4\n');
  expect((await records.await(1, 2)).status).toEqual({ kind: 'exited', code: 3 });
  const over = new AbortController();
  const waits = Array.from({ length: 50 }, (_, pid) =>
    records.await(pid + 10, 1, { signal: over.signal }).catch((error: Error) => error.message),
  );
  over.abort(new Error('over'));
  expect(new Set(await Promise.all(waits))).toEqual(new Set(['over']));
  await new Promise((resolve) => setImmediate(resolve));
  expect(inotifyDescriptors()).toBeLessThanOrEqual(before + 1);
});

test('a wait that is over before it began looks at nothing', async () => {
  const signal = AbortSignal.abort(new Error('no'));
  await expect(records.await(1, 2, { signal })).rejects.toThrow('no');
});

test('where nobody keeps records there are none to be read, and none to wait for', async () => {
  const none = new ExitRecords(join(directory, 'none'));
  expect(none.read(1, 2)).toBeUndefined();
  none.forget(1, 2);
  await expect(none.await(1, 2)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('a thousand waits end with a thousand records', async () => {
  const waits = Array.from({ length: 1000 }, (_, pid) => records.await(pid + 1, 7));
  for (let pid = 1; pid <= 1000; pid++) write(`${pid}.7`, `1 ${pid % 256} ${pid}\n`);
  const codes = (await Promise.all(waits)).map(({ endedAtNs }) => endedAtNs);
  expect(codes).toEqual(Array.from({ length: 1000 }, (_, index) => BigInt(index + 1)));
});

test('init says where its records are', () => {
  expect(ExitRecords.fromEnvironment({}).directory).toBe('/run/gcs/exits');
  const env = { GCS_INIT_RUN: directory };
  mkdirSync(join(directory, 'exits'));
  expect(ExitRecords.fromEnvironment(env).directory).toBe(join(directory, 'exits'));
});
