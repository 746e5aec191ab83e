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
  test('makes the directories for root alone and the files complete', () => {
    const bundle = join(directory, 'a/b/c');
    const hosts = { path: join(bundle, 'hosts'), content: '127.0.0.1 localhost\n' };
    const written = writeBundle(bundle, { hostname: 'x' }, [hosts]);
    expect(written.madeDirectory).toBe(true);
    for (const path of ['a', 'a/b', 'a/b/c']) expect(modeOf(join(directory, path))).toBe(0o700);
    expect(JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8'))).toEqual({
      hostname: 'x',
    });
    expect(modeOf(join(bundle, 'config.json'))).toBe(0o600);
    expect(readFileSync(hosts.path, 'utf8')).toBe(hosts.content);
    expect(readdirSync(bundle).sort()).toEqual(['config.json', 'hosts']);
  });

  test('files are readable for every user of the container, whatever the umask', () => {
    const previous = process.umask(0o077);
    onTestFinished(() => void process.umask(previous));
    const hosts = { path: join(directory, 'hosts'), content: '' };
    writeBundle(directory, {}, [hosts]);
    expect(modeOf(hosts.path)).toBe(0o644);
  });

  test('64-bit integers reach the file digit for digit', () => {
    const rlimits = [{ type: 'RLIMIT_CORE', hard: 18446744073709551615n, soft: 0 }];
    writeBundle(directory, { process: { rlimits }, extra: -9223372036854775808n });
    const text = readFileSync(join(directory, 'config.json'), 'utf8');
    expect(text).toContain('"hard":18446744073709551615');
    expect(text).toContain('"extra":-9223372036854775808');
  });

  test('a link placed under the name of a file is replaced, not written through', () => {
    const victim = join(directory, 'victim');
    writeFileSync(victim, 'untouched');
    const bundle = join(directory, 'bundle');
    mkdirSync(bundle);
    symlinkSync(victim, join(bundle, 'config.json'));
    writeBundle(bundle, {}, [], { mayReplace: true });
    expect(readFileSync(victim, 'utf8')).toBe('untouched');
    expect(readFileSync(join(bundle, 'config.json'), 'utf8')).toBe('{}');
  });

  test('a file that is there already stays as it is unless it may be replaced', () => {
    const hosts = { path: join(directory, 'hosts'), content: 'ours' };
    writeFileSync(hosts.path, 'precious');
    expect(() => writeBundle(directory, {}, [hosts])).toThrow(
      expect.objectContaining({ code: 'invalid-argument', field: 'OciBundlePath' }),
    );
    expect(readFileSync(hosts.path, 'utf8')).toBe('precious');
    expect(readdirSync(directory)).toEqual(['hosts']);
  });
});

describe('undoing a bundle', () => {
  test('removes the files and every directory that was made', () => {
    mkdirSync(join(directory, 'there'));
    const bundle = join(directory, 'there/a/b');
    const written = writeBundle(bundle, {}, [{ path: join(bundle, 'hosts'), content: '' }]);
    written.undo();
    expect(readdirSync(join(directory, 'there'))).toEqual([]);
  });

  test('keeps directories that were there before, and what others put into them', () => {
    mkdirSync(join(directory, 'rootfs'));
    const written = writeBundle(directory, {});
    expect(written.madeDirectory).toBe(false);
    written.undo();
    expect(readdirSync(directory)).toEqual(['rootfs']);
  });

  test('keeps a directory it made once somebody else uses it', () => {
    const bundle = join(directory, 'pods/a');
    const written = writeBundle(bundle, {});
    mkdirSync(join(directory, 'pods/b'));
    written.undo();
    expect(readdirSync(join(directory, 'pods'))).toEqual(['b']);
  });

  test('happens by itself when the writing fails', () => {
    const bundle = join(directory, 'a/b');
    const files = [
      { path: join(bundle, 'hosts'), content: '' },
      { path: join(bundle, 'none/hosts'), content: '' },
    ];
    expect(() => writeBundle(bundle, {}, files)).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    );
    expect(existsSync(join(directory, 'a'))).toBe(false);
  });

  test('happens by itself when not every directory can be made', () => {
    const bundle = join(directory, 'a/b', 'x'.repeat(256));
    expect(() => writeBundle(bundle, {})).toThrow(
      expect.objectContaining({ code: 'ENAMETOOLONG' }),
    );
    expect(readdirSync(directory)).toEqual([]);
    writeFileSync(join(directory, 'file'), '');
    expect(() => writeBundle(join(directory, 'file'), {})).toThrow(
      expect.objectContaining({ code: 'ENOTDIR' }),
    );
    expect(readdirSync(directory)).toEqual(['file']);
  });

  test('of two files with one name in a new directory the first stays until all is undone', () => {
    const bundle = join(directory, 'new');
    const twice = { path: join(bundle, 'hosts'), content: 'x' };
    expect(() => writeBundle(bundle, {}, [twice, twice])).toThrow(
      expect.objectContaining({ code: 'invalid-argument' }),
    );
    expect(existsSync(bundle)).toBe(false);
  });

  test('a target that cannot be replaced leaves no half-written file', () => {
    mkdirSync(join(directory, 'config.json'));
    chmodSync(join(directory, 'config.json'), 0o755);
    expect(() => writeBundle(directory, {}, [], { mayReplace: true })).toThrow(
      expect.objectContaining({ code: 'EISDIR' }),
    );
    expect(readdirSync(directory)).toEqual(['config.json']);
  });
});
