import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { AgentErrorCode } from '../../src/errors.ts';
import { oneRuntime } from '../../src/uvm/runtime-catalogue.ts';
import { useVmLab } from '../support/vm-lab.ts';

const suite = useVmLab();

async function refusal(code: AgentErrorCode, work: Promise<unknown>, message = /./) {
  await expect(work).rejects.toMatchObject({ name: 'AgentError', code });
  await expect(work).rejects.toThrow(message);
}

/** A program of the lab's. */
function script(name: string, body: string): string {
  const path = join(suite.lab.directory, name);
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** A directory in front of PATH for this test, so that a program of ours goes before the machine's. */
function searchFirst(directory: string): void {
  const before = process.env.PATH;
  process.env.PATH = `${directory}:${before}`;
  onTestFinished(() => {
    process.env.PATH = before;
  });
}

test('each container runs under the runtime it names, or its trust', async () => {
  const { lab } = suite;
  const calls = join(lab.directory, 'calls');
  const other = script('other-runc', `echo "$@" >>${calls}\nexec runc "$@"`);
  const all = new Map([
    ['runc', lab.runtime()],
    ['other', lab.runtime({ name: 'other', program: other })],
  ]);
  await lab.open({ all, trusted: 'runc', untrusted: 'other', workloads: 'trusted' });
  const { management } = lab;
  const spec = lab.spec({ args: 'exec sleep 1000' });
  expect((await management.create({ id: 'a', spec })).runtime).toBe('runc');
  expect(existsSync(calls)).toBe(false);
  expect((await management.create({ id: 'b', spec, trust: 'untrusted' })).runtime).toBe('other');
  expect((await management.create({ id: 'c', spec, runtime: 'other' })).runtime).toBe('other');
  const privileged = { id: 'd', spec, trust: 'untrusted', privileged: true } as const;
  expect((await management.create(privileged)).runtime).toBe('runc');
  expect(lab.complaints.map(({ message }) => message).join()).toMatch(/privileged/);
  for (const id of ['a', 'b', 'c', 'd']) {
    await management.start(id);
    expect((await management.execSync(id, { args: ['true'] })).exitCode).toBe(0);
  }
  expect(readFileSync(calls, 'utf8')).toMatch(/ start -- b\n.* start -- c\n/s);
  const infos = await management.runtimes();
  expect(infos).toMatchObject([
    { name: 'runc', program: 'runc', cgroupManager: 'cgroupfs', default: 'trusted' },
    { name: 'other', program: other, default: 'untrusted' },
  ]);
  expect(infos[0]?.version).toMatch(/^\d+\.\d+/);
});

test('a runtime that is not there says so, and containers cannot be made', async () => {
  const { lab } = suite;
  await lab.open(oneRuntime(lab.runtime({ name: 'gone', program: '/no/such/runtime' })));
  const [info] = await lab.management.runtimes();
  expect(info).toMatchObject({ name: 'gone', error: expect.stringMatching(/no\/such\/runtime/) });
  expect(info?.version).toBeUndefined();
  expect(await lab.management.conditions()).toMatchObject([
    { type: 'RuntimeReady', status: false, reason: 'RuntimeNotFound' },
    { type: 'NetworkReady', status: true },
  ]);
});

test('a VM that has a runtime, cgroups and lo is ready', async () => {
  expect(await suite.lab.management.conditions()).toEqual([
    { type: 'RuntimeReady', status: true },
    { type: 'NetworkReady', status: true },
  ]);
});

test('cgroups of systemd are refused where it does not run', async () => {
  const { lab } = suite;
  expect(existsSync('/run/systemd/system')).toBe(false);
  await lab.open(oneRuntime(lab.runtime({ systemdCgroup: true })));
  const create = lab.management.create({ id: 'c', spec: lab.spec({ args: 'exit 0' }) });
  await refusal('not-supported', create, /systemd, and it does not run here/);
  expect(await lab.management.list()).toEqual([]);
  expect((await lab.management.runtimes())[0]?.cgroupManager).toBe('systemd');
});

const container = { args: 'exec sleep 1000' };

test('without CRIU a checkpoint and a restore are refused with the reason, and nothing happens', async () => {
  const { lab } = suite;
  const bare = join(lab.directory, 'bare');
  const before = process.env.PATH;
  process.env.PATH = bare;
  onTestFinished(() => {
    process.env.PATH = before;
  });
  await lab.open(oneRuntime(lab.runtime({ program: '/usr/sbin/runc' })));
  await lab.run('c', container);
  const directory = join(lab.directory, 'images');
  await refusal(
    'not-supported',
    lab.management.checkpoint('c', { directory }),
    /checkpoint is not possible here: criu is not installed/,
  );
  expect((await lab.management.state('c')).status).toBe('running');
  const restore = lab.management.restore({ id: 'd', spec: lab.spec(container), directory });
  await refusal('not-supported', restore, /restore is not possible here: criu is not installed/);
  expect(await lab.management.list()).toHaveLength(1);
  rmSync(directory, { recursive: true, force: true });
});

test("a kernel CRIU cannot work with is told in CRIU's words", async () => {
  const { lab } = suite;
  script('criu', 'echo "Error (criu/some.c:1): no such feature" >&2; exit 1');
  searchFirst(lab.directory);
  await lab.open();
  await lab.run('c', container);
  const directory = join(lab.directory, 'images');
  await refusal(
    'not-supported',
    lab.management.checkpoint('c', { directory }),
    /criu check failed: Error \(criu\/some.c:1\): no such feature/,
  );
  expect((await lab.management.runtimes())[0]?.checkpoint).toMatchObject({ supported: false });
  rmSync(join(lab.directory, 'criu'));
  rmSync(directory, { recursive: true, force: true });
});

test('where CRIU can, the runtime is told what to save and to take up again', async () => {
  const { lab } = suite;
  const calls = join(lab.directory, 'criu-calls');
  script('criu', 'exit 0');
  searchFirst(lab.directory);
  // A restore is played by a create and a start: what is tested is what the runtime is asked.
  const program = script(
    'with-criu',
    `echo "$*" >>${calls}
for arg; do case $arg in
  checkpoint) exit 0 ;;
  restore) set -- $(echo " $* " | sed 's/ restore --detach / create /; s/ --image-path [^ ]*//; s/ --work-path [^ ]*//; s/ --tcp-established//')
    runc "$@" || exit
    for id; do :; done
    exec runc --root ${lab.directory}/state start "$id" ;;
esac; done
exec runc "$@"`,
  );
  await lab.open(oneRuntime(lab.runtime({ program })));
  const { management } = lab;
  await lab.run('c', container);
  const directory = join(lab.directory, 'images');
  await management.checkpoint('c', { directory, leaveRunning: true, tcpEstablished: true });
  const paths = `--image-path ${directory} --work-path ${directory}`;
  expect(readFileSync(calls, 'utf8')).toContain(
    ` checkpoint ${paths} --tcp-established --leave-running -- c\n`,
  );
  await management.delete('c', { force: true });

  const request = { id: 'd', spec: lab.spec(container), directory, tcpEstablished: true };
  const restored = await management.restore(request);
  expect(restored).toMatchObject({ id: 'd', status: 'running', startedAt: expect.any(Number) });
  expect(readFileSync(calls, 'utf8')).toContain(` restore --detach ${paths} --tcp-established `);
  expect((await management.execSync('d', { args: ['echo', 'on'] })).exitCode).toBe(0);
  await refusal('container-not-created', management.start('d'));
  await management.stop('d', { timeoutMs: 0 });
  await refusal('container-not-running', management.checkpoint('d', { directory }));
  rmSync(directory, { recursive: true, force: true });
  rmSync(join(lab.directory, 'criu'));
});
