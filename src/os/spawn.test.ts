import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { takeFileLimit } from './file-limit.ts';
import { native } from './native.ts';
import { pipe } from './pipe.ts';
import type { SpawnOptions } from './process.ts';
import { openPty } from './pty.ts';
import { Reaper } from './reaper.ts';

const env = ['PATH=/usr/local/bin:/usr/bin:/bin'];
let reaper: Reaper;
let directory: string;
beforeAll(() => {
  reaper = Reaper.start();
  directory = mkdtempSync(join(tmpdir(), 'gcs-spawn-'));
});
afterAll(() => {
  reaper[Symbol.dispose]();
  rmSync(directory, { recursive: true, force: true });
});

/** Runs to the end and returns what it wrote to descriptor 1. */
async function output(options: Partial<SpawnOptions> & { args: string[] }): Promise<string> {
  const { read, write } = pipe();
  using from = read;
  const child = reaper.spawn({
    file: options.args[0] ?? '',
    env,
    stdio: [null, write.raw, 2],
    ...options,
  });
  write.close();
  const text = readFileSync(from.raw, 'utf8');
  expect(await child.exited).toEqual({ kind: 'exited', code: 0 });
  return text;
}

test('a child has the limit of open files that we were started with, not what Node made of it', async () => {
  const script = ['sh', '-c', 'ulimit -Sn; ulimit -Hn'];
  const [own, hard] = (await output({ args: script })).trim().split('\n');
  expect(own).toBe(hard);
  const env = { GCS_NOFILE: '321' };
  takeFileLimit(env);
  expect(env).toEqual({});
  try {
    expect(await output({ args: script })).toBe(`321\n${hard}\n`);
  } finally {
    takeFileLimit({});
  }
  for (const text of ['unlimited', '0', '-1', '1e3', '']) {
    takeFileLimit({ GCS_NOFILE: text });
    expect(await output({ args: script })).toBe(`${hard}\n${hard}\n`);
  }
});

function failing(options: Partial<SpawnOptions>): unknown {
  const before = readdirSync('/proc/self/fd').length;
  try {
    reaper.spawn({ file: 'true', args: ['true'], env, stdio: [null, null, null], ...options });
  } catch (error) {
    expect(readdirSync('/proc/self/fd').length).toBe(before);
    expect(reaper.watched).toBe(0);
    return error;
  }
  throw new Error('it was started');
}

describe('spawn', () => {
  test('passes arguments, environment and directory as they are', async () => {
    const text = await output({
      args: ['sh', '-c', 'printf "%s|" "$0" "$@" "$X"; pwd', 'zero', '', 'ä 😀', 'a\nb'],
      env: [...env, 'X=1=2'],
      cwd: directory,
    });
    expect(text).toBe(`zero||ä 😀|a\nb|1=2|${directory}\n`);
  });

  test('argv[0] need not be the program', async () => {
    expect(await output({ file: '/bin/sh', args: ['other', '-c', 'printf "$0"'] })).toBe('other');
  });

  test('gives the child its descriptors and no other, whatever we hold', async () => {
    // As a parent of ours may have left one: not close-on-exec.
    const input = pipe();
    const output = pipe();
    using from = output.read;
    const inherited = native().dupOnto(from.raw, 200);
    try {
      expect(inherited).toBe(200);
      const child = reaper.spawn({
        file: '/bin/sh',
        args: ['sh', '-c', 'echo up; read line'],
        env,
        stdio: [input.read.raw, output.write.raw, null],
      });
      // Before it speaks, its loader may have a library open.
      expect(readSync(from.raw, Buffer.alloc(8))).toBe(3);
      expect(readdirSync(`/proc/${child.pid}/fd`)).toEqual(['0', '1', '2']);
      input.write.close();
      expect(await child.exited).toEqual({ kind: 'exited', code: 1 });
    } finally {
      input.read.close();
      input.write.close();
      output.write.close();
      closeSync(200);
    }
  });

  test('places descriptors right when sources and targets overlap', async () => {
    const files = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => {
      writeFileSync(join(directory, name), name);
      return openSync(join(directory, name), 'r');
    });
    try {
      const [one = -1, two = -1] = files;
      // Descriptors 3 and up are targets here and, more likely than not, sources too.
      const { read, write } = pipe();
      using from = read;
      const child = reaper.spawn({
        file: 'sh',
        args: ['sh', '-c', 'cat <&0; cat <&3; cat <&4; cat <&5; cat <&6; cat <&7'],
        env,
        stdio: [two, write.raw, 2, ...files.slice(2).reverse(), one],
      });
      write.close();
      expect(readFileSync(from.raw, 'utf8')).toBe('bfedca');
      await child.exited;
    } finally {
      for (const file of files) closeSync(file);
    }
  });

  test('null is /dev/null', async () => {
    const { read, write } = pipe();
    using from = read;
    const child = reaper.spawn({
      file: 'sh',
      args: ['sh', '-c', 'readlink /proc/$$/fd/0; readlink /proc/$$/fd/2'],
      env,
      stdio: [null, write.raw, null],
    });
    write.close();
    expect(readFileSync(from.raw, 'utf8')).toBe('/dev/null\n/dev/null\n');
    await child.exited;
  });

  test('resets signals: none blocked, none ignored (Node ignores SIGPIPE)', async () => {
    const status = await output({ args: ['cat', '/proc/self/status'] });
    expect(/^SigBlk:\s*0+$/m.test(status)).toBe(true);
    expect(/^SigIgn:\s*0+$/m.test(status)).toBe(true);
  });

  test('newSession makes it a session leader', async () => {
    const script =
      'read -r pid comm state ppid pgrp session rest < /proc/$$/stat; echo $pid $pgrp $session';
    const own = (await output({ args: ['sh', '-c', script], newSession: true })).trim().split(' ');
    expect(new Set(own).size).toBe(1);
    const shared = (await output({ args: ['sh', '-c', script] })).trim().split(' ');
    expect(shared[2]).not.toBe(shared[0]);
  });

  test('terminal becomes the controlling terminal of a new session', async () => {
    const { master, path } = openPty({ width: 100, height: 30 });
    using _m = master;
    const child = reaper.spawn({
      file: 'sh',
      args: ['sh', '-c', 'tty; stty size < /dev/tty; echo /proc/$$/fd/*; kill -INT $$'],
      env,
      stdio: [],
      terminal: path,
    });
    expect(await child.exited).toEqual({ kind: 'signaled', signal: 2, coreDumped: false });
    const buffer = Buffer.alloc(4096);
    let text = '';
    // The kernel passes it on in pieces.
    while (text.split('\r\n').length < 4)
      text += buffer.toString('utf8', 0, readSync(master.raw, buffer));
    expect(text.split('\r\n').slice(0, 2)).toEqual([path, '30 100']);
    // Some shells keep /dev/tty open as a fourth; none of ours is there.
    expect(text.split('\r\n')[2]).toContain('/fd/0 ');
  });

  test('searches in searchPath, skipping what cannot be run', async () => {
    const [first, second] = ['one', 'two'].map((name) => join(directory, name));
    for (const each of [first, second]) mkdirSync(each ?? '');
    writeFileSync(`${first}/tool`, '#!/bin/sh\necho first\n', { mode: 0o644 });
    writeFileSync(`${second}/tool`, '#!/bin/sh\necho second\n', { mode: 0o755 });
    const searchPath = `${directory}/none:/etc/passwd:${first}:${second}`;
    expect(await output({ file: 'tool', args: ['tool'], searchPath })).toBe('second\n');
    expect(failing({ file: 'tool', searchPath: first ?? '' })).toMatchObject({ code: 'EACCES' });
    // An empty entry and a relative one count from the child's directory.
    chmodSync(`${first}/tool`, 0o755);
    for (const path of [':', '/none:', '.', '../one']) {
      expect(
        await output({ file: 'tool', args: ['tool'], searchPath: path, cwd: first ?? '' }),
      ).toBe('first\n');
    }
  });

  test('failures are typed, name what failed and leave nothing behind', () => {
    expect(failing({ file: 'no-such-program' })).toMatchObject({
      code: 'ENOENT',
      message: 'execve no-such-program: ENOENT',
    });
    expect(failing({ file: '/etc/passwd' })).toMatchObject({ code: 'EACCES' });
    expect(failing({ file: '' })).toMatchObject({ code: 'ENOENT' });
    expect(failing({ cwd: '/no/such/place' })).toMatchObject({
      syscall: 'chdir',
      message: 'chdir /no/such/place: ENOENT',
    });
    expect(failing({ cwd: '/etc/passwd' })).toMatchObject({ syscall: 'chdir', code: 'ENOTDIR' });
    writeFileSync(join(directory, 'text'), 'no interpreter', { mode: 0o755 });
    expect(failing({ file: join(directory, 'text') })).toMatchObject({ code: 'ENOEXEC' });
    expect(failing({ args: ['x', 'y'.repeat(1 << 20)] })).toMatchObject({ code: 'E2BIG' });
    expect(failing({ stdio: [999_999] })).toMatchObject({ code: 'EBADF' });
    expect(failing({ stdio: [-1] })).toMatchObject({ code: 'EBADF' });
    expect(failing({ args: [] })).toMatchObject({ code: 'EINVAL' });
    expect(failing({ terminal: '/dev/pts/999999' })).toBeInstanceOf(Error);
  });

  test('a NUL is refused, not cut off', () => {
    for (const options of [
      { file: 'tr\0ue' },
      { args: ['true', 'a\0b'] },
      { env: ['A=1\0B=2'] },
      { cwd: '/tmp\0' },
      { searchPath: '/bin\0' },
      { terminal: '/dev/pts/0\0' },
    ]) {
      expect(failing(options)).toMatchObject({ code: 'EINVAL' });
    }
  });
});
