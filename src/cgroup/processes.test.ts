import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { signalAll } from './processes.ts';

test('one that cannot be signalled is told of, and keeps nobody else from the signal', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-cgroup-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  // No process has the number of a thread that is not its process's first, and yet it is taken.
  const thread = readdirSync('/proc/self/task')
    .map(Number)
    .find((id) => id !== process.pid);
  writeFileSync(join(directory, 'cgroup.procs'), `${thread}\n${child.pid}\n0\n`);
  const cgroup = { controllers: new Map(), unified: directory };
  expect(await signalAll(cgroup, 15)).toEqual({
    signalled: 1,
    failed: [{ pid: thread, message: expect.stringContaining('pidfd_open') }],
  });
  expect(await ended).toEqual([null, 'SIGTERM']);
});
