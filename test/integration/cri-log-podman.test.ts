import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openCriLog } from '../../src/stdio/cri-log.ts';

// podman has a reader for such logs (its log driver k8s-file). The container is never run: that it
// has been created is enough for `podman logs`.
let directory: string;
let path: string;

function podman(...args: string[]) {
  const at = (name: string): string => join(directory, name);
  const places = ['--root', at('root'), '--runroot', at('runroot'), '--tmpdir', at('tmp')];
  const options = ['--storage-driver=vfs', '--events-backend=file', ...places];
  return execa('podman', [...options, ...args], { stripFinalNewline: false });
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-podman-'));
  path = join(directory, 'container.log');
  mkdirSync(join(directory, 'rootfs/bin'), { recursive: true });
  const limits = ['--ulimit=nofile=1024:1024', '--ulimit=nproc=1024:1024', '--network=none'];
  const log = ['--log-driver=k8s-file', `--log-opt=path=${path}`];
  await podman(
    'create',
    '--name=one',
    ...limits,
    ...log,
    '--rootfs',
    join(directory, 'rootfs'),
    'sh',
  );
});
afterAll(async () => {
  await podman('rm', '--force', 'one');
  rmSync(directory, { recursive: true, force: true });
});

test('podman reads what we write: both streams apart, lines in parts, long, empty and unfinished', async () => {
  const streams = { stdout: '', stderr: '' };
  using log = openCriLog(path);
  const write = (stream: 'stdout' | 'stderr', text: string): void => {
    streams[stream] += text;
    log.write(stream, Buffer.from(text));
  };
  write('stdout', 'a line\nanother\n\n\nafter empty ones\n');
  write('stderr', 'of the other stream\n');
  write('stdout', 'one that ');
  write('stderr', 'between its parts\n');
  write('stdout', 'was written in ');
  write('stdout', 'parts\n');
  for (let length = 8190; length < 8196; length++) write('stderr', `${'l'.repeat(length)}\n`);
  write('stdout', `${'many parts '.repeat(10_000)}\n`);
  write('stdout', ' F stdout 2026-01-31T12:00:00Z  spaces \tand ünïcödé\n');
  write('stderr', 'no newline at the end');
  const { stdout, stderr } = await podman('logs', 'one');
  expect(stdout).toBe(streams.stdout);
  expect(stderr).toBe(streams.stderr);
});

test('podman takes our times and counts our lines', async () => {
  rmSync(path);
  using log = openCriLog(path);
  for (let i = 0; i < 20; i++) log.write('stdout', Buffer.from(`line ${i}\n`));
  const { stdout } = await podman('logs', '--timestamps', '--tail=3', 'one');
  expect(stdout).toMatch(/^(\d{4}-\S+(Z|[+-]\d\d:\d\d) line 1[789]\n){3}$/);
  const later = new Date(Date.now() + 3_600_000).toISOString();
  expect((await podman('logs', `--since=${later}`, 'one')).stdout).toBe('');
});
