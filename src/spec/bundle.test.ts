import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { writeBundle } from './bundle.ts';

let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-bundle-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
});

const modeOf = (path: string) => statSync(path).mode & 0o7777;

describe('writing a bundle', () => {
  test('makes the directories for root alone and the files complete', async () => {
    const bundle = join(directory, 'a/b/c');
    const hosts = { path: join(bundle, 'hosts'), content: '127.0.0.1 localhost\n' };
    const written = await writeBundle(bundle, { hostname: 'x' }, [hosts]);
    expect(written.madeDirectory).toBe(true);
    for (const path of ['a', 'a/b', 'a/b/c']) expect(modeOf(join(directory, path))).toBe(0o700);
    expect(JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8'))).toEqual({
      hostname: 'x',
    });
    expect(modeOf(join(bundle, 'config.json'))).toBe(0o600);
    expect(readFileSync(hosts.path, 'utf8')).toBe(hosts.content);
    expect(readdirSync(bundle).sort()).toEqual(['config.json', 'hosts']);
  });

  test('files are readable for every user of the container, whatever the umask', async () => {
    const previous = process.umask(0o077);
    onTestFinished(() => void process.umask(previous));
    const hosts = { path: join(directory, 'hosts'), content: '' };
    await writeBundle(directory, {}, [hosts]);
    expect(modeOf(hosts.path)).toBe(0o644);
  });

  test('64-bit integers reach the file digit for digit', async () => {
    const rlimits = [{ type: 'RLIMIT_CORE', hard: 18446744073709551615n, soft: 0 }];
    await writeBundle(directory, { process: { rlimits }, extra: -9223372036854775808n });
    const text = readFileSync(join(directory, 'config.json'), 'utf8');
    expect(text).toContain('"hard":18446744073709551615');
    expect(text).toContain('"extra":-9223372036854775808');
  });

  test('a link placed under the name of a file is replaced, not written through', async () => {
    const victim = join(directory, 'victim');
    writeFileSync(victim, 'untouched');
    const bundle = join(directory, 'bundle');
    mkdirSync(bundle);
    symlinkSync(victim, join(bundle, 'config.json'));
    await writeBundle(bundle, {});
    expect(readFileSync(victim, 'utf8')).toBe('untouched');
    expect(readFileSync(join(bundle, 'config.json'), 'utf8')).toBe('{}');
  });
});

describe('undoing a bundle', () => {
  test('removes the files and every directory that was made', async () => {
    mkdirSync(join(directory, 'there'));
    const bundle = join(directory, 'there/a/b');
    const written = await writeBundle(bundle, {}, [{ path: join(bundle, 'hosts'), content: '' }]);
    await written.undo();
    expect(readdirSync(join(directory, 'there'))).toEqual([]);
  });

  test('keeps directories that were there before, and what others put into them', async () => {
    mkdirSync(join(directory, 'rootfs'));
    const written = await writeBundle(directory, {});
    expect(written.madeDirectory).toBe(false);
    await written.undo();
    expect(readdirSync(directory)).toEqual(['rootfs']);
  });

  test('keeps a directory it made once somebody else uses it', async () => {
    const bundle = join(directory, 'pods/a');
    const written = await writeBundle(bundle, {});
    mkdirSync(join(directory, 'pods/b'));
    await written.undo();
    expect(readdirSync(join(directory, 'pods'))).toEqual(['b']);
  });

  test('happens by itself when the writing fails', async () => {
    const bundle = join(directory, 'a/b');
    const files = [
      { path: join(bundle, 'hosts'), content: '' },
      { path: join(bundle, 'none/hosts'), content: '' },
    ];
    await expect(writeBundle(bundle, {}, files)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(existsSync(join(directory, 'a'))).toBe(false);
  });

  test('happens by itself when not every directory can be made', async () => {
    const bundle = join(directory, 'a/b', 'x'.repeat(256));
    await expect(writeBundle(bundle, {})).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    expect(readdirSync(directory)).toEqual([]);
    writeFileSync(join(directory, 'file'), '');
    await expect(writeBundle(join(directory, 'file'), {})).rejects.toMatchObject({
      code: 'ENOTDIR',
    });
    expect(readdirSync(directory)).toEqual(['file']);
  });

  test('a target that cannot be replaced leaves no half-written file', async () => {
    mkdirSync(join(directory, 'config.json'));
    chmodSync(join(directory, 'config.json'), 0o755);
    await expect(writeBundle(directory, {})).rejects.toMatchObject({ code: 'EISDIR' });
    expect(readdirSync(directory)).toEqual(['config.json']);
  });
});
