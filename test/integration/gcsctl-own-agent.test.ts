import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AgentProcess } from '../support/agent-process.ts';
import { useClientRootfs } from '../support/client-lab.ts';
import { gcsctl, PipedGcsctl, TerminalGcsctl } from '../support/gcsctl.ts';
import { descendants } from '../support/proc.ts';

/** Agents that the tests or gcsctl start themselves: they run on this machine, never in the VM. */
const ISOLATE = fileURLToPath(new URL('../support/isolate.sh', import.meta.url));
const rootfs = useClientRootfs();

test('an agent that dies under run -it is told of, and the terminal is put back', async () => {
  await using agent = new AgentProcess();
  await gcsctl(['ping', '--host', agent.path]);
  using terminal = new TerminalGcsctl(
    [
      'run',
      '-it',
      '--host',
      agent.path,
      '--rootfs',
      rootfs(),
      '--',
      'sh',
      '-c',
      'echo up; sleep 1000',
    ],
    { width: 80, height: 24 },
  );
  await terminal.shows(/up/);
  agent.kill('SIGKILL');
  expect(await terminal.ended).toBe(125);
  await terminal.shows(/gcsctl: the guest closed the bridge|gcsctl: the bridge broke/);
  expect(terminal.settings()).toBe(terminal.settingsBefore);
});

describe('gcsctl with an agent of its own', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'gcsctl-test-'));
    mkdirSync(join(directory, 'tmp'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const isolated = (argv: string[], env = {}) =>
    new PipedGcsctl(argv, {
      prefix: [ISOLATE, `gcsctl-test-${randomBytes(4).toString('hex')}`, 'child'],
      env: { TMPDIR: join(directory, 'tmp'), ...env },
    });

  test('run starts it, ends it and leaves nothing', async () => {
    const script = 'cat; hostname; exit 11';
    const running = isolated([
      'run',
      '-i',
      '--hostname',
      'own',
      '--rootfs',
      rootfs(),
      '--',
      'sh',
      '-c',
      script,
    ]);
    running.child.stdin?.end('in\n');
    expect(await running.ended).toEqual({ code: 11, out: 'in\nown\n', err: '' });
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
  });

  test('run with another runtime', async () => {
    const running = isolated([
      'run',
      '--runtime',
      'crun',
      '--rootfs',
      rootfs(),
      '--',
      'echo',
      'crun',
    ]);
    expect(await running.ended).toEqual({ code: 0, out: 'crun\n', err: '' });
  });

  test('run tells of an agent that cannot live, with the end of its log', async () => {
    const broken = join(directory, 'agent');
    writeFileSync(broken, '#!/bin/sh\necho "this machine is wrong" >&2\nexit 9\n');
    chmodSync(broken, 0o755);
    const ended = await isolated(['run', '--rootfs', rootfs(), '--', 'true'], {
      GCSCTL_AGENT: broken,
    }).ended;
    expect(ended).toMatchObject({ code: 125, out: '' });
    expect(ended.err).toContain('ended with exit code 9');
    expect(ended.err).toContain('this machine is wrong');
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
  });

  test('run tells of an agent that cannot be started', async () => {
    const ended = await isolated(['run', '--rootfs', rootfs(), '--', 'true'], {
      GCSCTL_AGENT: '/no/such/agent',
    }).ended;
    expect(ended).toMatchObject({ code: 125, err: expect.stringContaining('/no/such/agent') });
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
  });

  test('an agent ends with a gcsctl that was killed', async () => {
    const fake = join(directory, 'agent');
    const pipe = join(directory, 'pipe');
    execFileSync('mkfifo', [pipe]);
    // The end of this pipe is how the test sees the end of the agent.
    writeFileSync(fake, `#!/bin/sh\nexec sleep 1000 >'${pipe}'\n`);
    chmodSync(fake, 0o755);
    const running = new PipedGcsctl(['run', '--rootfs', rootfs(), '--', 'true'], {
      env: { GCSCTL_AGENT: fake, TMPDIR: join(directory, 'tmp') },
    });
    const agentEnds = createReadStream(pipe).resume();
    await once(agentEnds, 'open');
    running.child.kill('SIGKILL');
    await once(agentEnds, 'end');
    expect((await running.ended).code).toBe('SIGKILL');
  });

  test('agent stands until it is shut down, and names the commands to use', async () => {
    const path = join(directory, 'vm/v');
    const agent = isolated(['agent', '--host', path, '--logfile', join(directory, 'log')]);
    expect(await gcsctl(['ping', '--host', path]).then(({ code }) => code)).toBe(125);
    const run = ['run', '--host', path, '--rootfs', rootfs(), '--', 'echo', 'hello'];
    // The directory is the agent's to make: until then a host cannot listen in it.
    while (!readdirSync(directory).includes('vm')) await new Promise((r) => setTimeout(r, 10));
    expect(await gcsctl(run)).toEqual({ code: 0, out: 'hello\n', err: '' });
    expect(await gcsctl(['shutdown', '--host', path])).toEqual({ code: 0, out: '', err: '' });
    const ended = await agent.ended;
    expect(ended.code).toBe(0);
    expect(ended.err).toContain(`gcsctl run --host ${path}`);
  });

  test('an agent that is killed in the middle leaves no container behind', async () => {
    const script = `echo up; trap "" TERM; while :; do sleep 0.02; done`;
    const state = '/run/runc';
    // Looked at from inside, where the runtime keeps what it has: before, and when all is over.
    const around = join(directory, 'around');
    writeFileSync(
      around,
      `#!/bin/sh\n"$@"; code=$?\nls ${state} | sed 's/^/left: /'\n` +
        `find /sys/fs/cgroup -type d -path '*/pods/*' | sed 's/^/left: /'\nexit $code\n`,
    );
    chmodSync(around, 0o755);
    const name = `gcsctl-test-${randomBytes(4).toString('hex')}`;
    const running = new PipedGcsctl(['run', '--rootfs', rootfs(), '--', 'sh', '-c', script], {
      prefix: [ISOLATE, name, 'child', around],
      env: { TMPDIR: join(directory, 'tmp') },
    });
    await running.printed('up');
    const { pid } = running.child;
    if (pid === undefined) throw new Error('gcsctl was not started');
    const agent = descendants(pid).find((entry) => isAgent(entry.pid));
    if (agent === undefined) throw new Error('no agent runs');
    process.kill(agent.pid, 'SIGKILL');
    const ended = await running.ended;
    expect(ended).toMatchObject({ code: 125, out: 'up\n' });
    expect(ended.err).toMatch(/gcsctl: .*(bridge|agent)/);
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
  });

  test('the agent of "agent" is started again when it is killed, and its containers go on', async () => {
    const path = join(directory, 'vm/v');
    const agent = isolated(['agent', '--host', path, '--logfile', join(directory, 'log')]);
    try {
      while (!existsSync(path)) await new Promise((r) => setTimeout(r, 10));
      const on = (command: string, ...argv: string[]) => gcsctl([command, '--host', path, ...argv]);
      const script = 'trap "echo bye; exit 5" USR1; echo up; while :; do sleep 0.02; done';
      expect(
        await on('run', '-d', '--name', 'x', '--rootfs', rootfs(), '--', 'sh', '-c', script),
      ).toMatchObject({ code: 0, err: '' });
      const attached = new PipedGcsctl(['logs', '-f', '--host', path, 'x']);
      await attached.printed('up');
      const find = () => descendants(agent.child.pid ?? 0).find((entry) => isAgent(entry.pid));
      const first = find();
      if (first === undefined) throw new Error('no agent runs');
      process.kill(first.pid, 'SIGKILL');
      // One that is cut off says so, and can be asked again.
      expect(await attached.ended).toMatchObject({ code: 125, out: 'up\n' });
      expect(await on('ping')).toMatchObject({ code: 0 });
      expect(find()?.pid).not.toBe(first.pid);
      expect((await on('ps')).out).toMatch(/x +Up/);
      expect(await on('kill', '-s', 'USR1', 'x')).toMatchObject({ code: 0, err: '' });
      expect(await on('wait', 'x')).toEqual({ code: 5, out: '5\n', err: '' });
      expect((await on('logs', 'x')).out).toBe('up\nbye\n');
      expect(await on('rm', 'x')).toMatchObject({ code: 0 });
    } finally {
      await gcsctl(['shutdown', '--host', path]);
    }
    expect((await agent.ended).code).toBe(0);
    expect(readdirSync(join(directory, 'vm'))).toEqual([]);
  });

  test('a door that is shut is told of, with what to do', async () => {
    await using shut = new AgentProcess({ args: ['-management', 'off'] });
    expect(await gcsctl(['ping', '--host', shut.path])).toMatchObject({ code: 0 });
    const ended = await gcsctl(['ps', '--host', shut.path]);
    expect(ended).toMatchObject({ code: 125, out: '' });
    expect(ended.err).toContain('-management=off');
    const stacks = await gcsctl(['dump-stacks', '--bridge', '--host', shut.path]);
    expect(stacks).toMatchObject({ code: 0, err: '' });
  });
});

/** Neither its supervisor nor gcsctl. */
function isAgent(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('start.cjs\0gcs\0');
  } catch {
    return false; // It has ended meanwhile.
  }
}
