/** The way down. In the lab reboot(2) is refused, so init says so and ends with a code. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ask, InitLab } from '../support/init-lab.ts';

const idle = 'exec sleep 1000';

test.each([
  ['poweroff', 70],
  ['reboot', 71],
])('%s on request', async (request, code) => {
  await using lab = await InitLab.start({ agent: `trap '' TERM; ${ask(request)}` });
  expect(await lab.exited).toBe(code);
  expect(lab.console).toContain('reply=ok\n');
  expect(lab.messages.slice(-2)).toEqual(['down', 'reboot(2): Operation not permitted (errno 1)']);
});

test.each([
  ['SIGTERM', 70],
  ['SIGPWR', 70],
  ['SIGINT', 71],
] as const)('%s to init', async (signal, code) => {
  await using lab = await InitLab.start({ agent: `echo up >&2; ${idle}` });
  await lab.see(/^up$/m);
  process.kill(lab.pid, signal);
  expect(await lab.exited).toBe(code);
});

test('every process is told before it is killed, and none is started again', async () => {
  await using lab = await InitLab.start({
    agent: `
      (setsid sh -c 'trap "echo told >/host/told; exit 0" TERM; touch /run/one; while :; do sleep 1000 & wait; done' &)
      (setsid sh -c 'trap "" TERM; touch /run/two; while :; do sleep 1000; done' &)
      while [ ! -e /run/one ] || [ ! -e /run/two ]; do usleep 1000; done
      ${ask('poweroff')}
      ${idle}`,
  });
  expect(await lab.exited).toBe(70);
  expect(readFileSync(join(lab.directory, 'host/told'), 'utf8')).toBe('told\n');
  expect(lab.messages.filter((line) => line.startsWith('/agent started'))).toHaveLength(1);
  expect(lab.console).not.toContain('cannot be killed');
});

test('mounts go in reverse order, and a second request changes nothing', async () => {
  await using lab = await InitLab.start({
    agent: `
      mkdir -p /run/a "/run/b c"
      mount -t tmpfs a /run/a && mkdir /run/a/b && mount -t tmpfs b /run/a/b
      mount -t tmpfs c "/run/b c" && mount --bind /run/a/b "/run/b c"
      echo mounted >&2
      ${ask('reboot')}
      ${ask('poweroff')}
      ${idle}`,
  });
  await lab.see(/^mounted$/m);
  expect(await lab.exited).toBe(71);
  expect(lab.console).not.toMatch(/unmount|busy/);
});

test('a mount that is busy is named and detached, and the machine goes down', async () => {
  await using lab = await InitLab.start({
    agent: `mkdir /run/data; mount -t tmpfs data /run/data; echo up >&2; read -r _ </host/go; ${ask('poweroff')}; ${idle}`,
    prepare: 'mkfifo "$1/host/go"',
  });
  await lab.see(/^up$/m);
  // Of another pid namespace, so that init cannot end it.
  const holder = spawn(
    'nsenter',
    [
      '--mount',
      '--target',
      `${lab.pid}`,
      '/bin/sh',
      '-c',
      'cd /run/data && echo held; exec sleep 1000',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    await once(holder.stdout, 'data');
    const go = spawn('sh', ['-c', `echo >${lab.inside('host/go')}`]);
    await once(go, 'close');
    expect(await lab.exited).toBe(70);
  } finally {
    holder.kill('SIGKILL');
    await once(holder, 'close');
  }
  expect(lab.messages).toContain('unmount /run/data: Resource busy (errno 16)');
  expect(lab.messages).toContain('/run/data was busy: detached');
  expect(existsSync('/run/data')).toBe(false);
});

test('where power-off means a reset, init resets', async () => {
  await using lab = await InitLab.start({
    args: ['gcs.poweroff=reset', '/agent'],
    agent: `${ask('poweroff')}; ${idle}`,
  });
  // The code is that of the request; the lab cannot tell what reboot(2) was asked.
  expect(await lab.exited).toBe(70);
});

test('what is kept for the next agent keeps no file system busy', async () => {
  await using lab = await InitLab.start({
    agent: `
      mkdir -p /run/data
      grep -q /run/data /proc/mounts || mount -t tmpfs data /run/data
      if [ ! -e /run/data/log ]; then /keep s1.t.l /run/data/log; exit 1; fi
      ls -l /proc/1/fd | grep -q /run/data/log && echo 'still kept' >&2
      ${ask('poweroff')}; ${idle}`,
    edit: (root) => {
      const source = fileURLToPath(new URL('../support/keep.c', import.meta.url));
      execFileSync('gcc', ['-O2', '-static', '-Wall', '-Wextra', '-o', `${root}/keep`, source]);
    },
  });
  expect(await lab.exited).toBe(70);
  expect(lab.console).toMatch(/^kept=ok$/m);
  expect(lab.console).toMatch(/^still kept$/m);
  expect(lab.messages.filter((line) => /busy/.test(line))).toEqual([]);
});
