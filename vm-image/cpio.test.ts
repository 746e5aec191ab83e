import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cpioArchive } from './cpio.ts';

test('a tree gives the same bytes whenever it was made, and others’ cpio reads them', () => {
  const base = mkdtempSync(join(tmpdir(), 'gcs-cpio-'));
  const make = (name: string, files: readonly string[], time: number): Buffer => {
    const root = join(base, name);
    mkdirSync(join(root, 'dir'), { recursive: true });
    for (const file of files) {
      writeFileSync(join(root, file), `content of ${file}`);
      utimesSync(join(root, file), time, time);
      chmodSync(join(root, file), 0o755);
    }
    symlinkSync('dir/b', join(root, 'link'));
    return Buffer.concat([...cpioArchive(root)]);
  };
  try {
    const first = make('one', ['a', 'dir/b', 'c'], 1);
    expect(make('two', ['c', 'dir/b', 'a'], 2)).toEqual(first);
    const listed = execFileSync('busybox', ['cpio', '-t'], { input: first, encoding: 'utf8' });
    expect(listed.trim().split('\n')).toEqual(['a', 'c', 'dir', 'dir/b', 'link']);
    mkdirSync(join(base, 'out'));
    execFileSync('busybox', ['cpio', '-i'], { input: first, cwd: join(base, 'out') });
    expect(execFileSync('cat', [join(base, 'out/link')], { encoding: 'utf8' })).toBe(
      'content of dir/b',
    );
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});
