import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';

import { descriptors } from '../../test/support/proc.ts';
import { readFileInRoot } from './in-root.ts';

let root = '';

beforeEach(() => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-root-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  root = join(directory, 'rootfs');
  mkdirSync(join(root, 'etc'), { recursive: true });
  mkdirSync(join(root, 'usr/share'), { recursive: true });
  writeFileSync(join(directory, 'outside'), 'secret');
  writeFileSync(join(root, 'etc/file'), 'inside');
});

const read = (path: string) => readFileInRoot(root, path, 1000);

describe('reading a file inside a root somebody else fills', () => {
  test('a plain file', async () => {
    expect(await read('/etc/file')).toBe('inside');
    expect(await read('etc//./file')).toBe('inside');
  });

  test('what is not there is undefined, also when a file stands for a directory', async () => {
    expect(await read('/etc/none')).toBeUndefined();
    expect(await read('/none/file')).toBeUndefined();
    expect(await read('/etc/file/below')).toBeUndefined();
    expect(await readFileInRoot(join(root, 'none'), '/etc/file', 10)).toBeUndefined();
  });

  test('an absolute link starts at the root', async () => {
    writeFileSync(join(root, 'usr/share/real'), 'real');
    symlinkSync('/usr/share/real', join(root, 'etc/link'));
    symlinkSync('/usr/share', join(root, 'etc/directory'));
    expect(await read('/etc/link')).toBe('real');
    expect(await read('/etc/directory/real')).toBe('real');
  });

  test('a relative link starts where it lies', async () => {
    symlinkSync('../etc/file', join(root, 'usr/link'));
    symlinkSync('link', join(root, 'usr/again'));
    expect(await read('/usr/again')).toBe('inside');
  });

  test('no number of ".." leaves the root', async () => {
    symlinkSync('../../../../../../outside', join(root, 'etc/up'));
    symlinkSync('/../../outside', join(root, 'etc/absolute'));
    expect(await read('/etc/up')).toBeUndefined();
    expect(await read('/etc/absolute')).toBeUndefined();
    expect(await read('../../outside')).toBeUndefined();
    expect(await read('/etc/../../etc/file')).toBe('inside');
  });

  test('a link out of the root by its full path is looked up inside', async () => {
    symlinkSync(join(root, '../outside'), join(root, 'etc/full'));
    symlinkSync(join(root, '..'), join(root, 'etc/parent'));
    expect(await read('/etc/full')).toBeUndefined();
    expect(await read('/etc/parent/outside')).toBeUndefined();
  });

  test('a loop of links is an error, not a hang', async () => {
    symlinkSync('b', join(root, 'etc/a'));
    symlinkSync('a', join(root, 'etc/b'));
    await expect(read('/etc/a')).rejects.toThrow(/too many symbolic links/);
  });

  test('a fifo, a directory or a device is refused without being opened', async () => {
    execFileSync('mkfifo', [join(root, 'etc/fifo')]);
    await expect(read('/etc/fifo')).rejects.toThrow(/not a regular file/);
    await expect(read('/etc')).rejects.toThrow(/not a regular file/);
    await expect(readFileInRoot('/', '/dev/zero', 10)).rejects.toThrow(/not a regular file/);
  });

  test('a file of exactly the limit is read, a longer one refused', async () => {
    writeFileSync(join(root, 'etc/large'), 'x'.repeat(1000));
    expect(await read('/etc/large')).toHaveLength(1000);
    writeFileSync(join(root, 'etc/large'), 'x'.repeat(1001));
    await expect(read('/etc/large')).rejects.toThrow(/larger than 1000 bytes/);
  });

  test('an empty file is empty text', async () => {
    writeFileSync(join(root, 'etc/empty'), '');
    expect(await read('/etc/empty')).toBe('');
  });

  test('no descriptor stays open, however it ends', async () => {
    symlinkSync('a', join(root, 'etc/a'));
    const before = descriptors(process.pid);
    await read('/etc/file');
    await read('/usr/share/none');
    await expect(read('/etc/a')).rejects.toThrow();
    await expect(readFileInRoot(root, '/etc/file', 1)).rejects.toThrow();
    expect(descriptors(process.pid)).toEqual(before);
  });
});
