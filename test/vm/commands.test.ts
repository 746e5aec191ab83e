/** "gcsctl vm": what it starts, and that nothing of it stays. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { expect, test, vi } from 'vitest';
import { TerminalGcsctl } from '../support/gcsctl.ts';
import { RAW_BRIDGE_PORT, RawBridge, RawHost } from '../support/raw-client.ts';
import { negotiate } from '../support/raw-flows.ts';
import { VmLab } from '../support/vm-command.ts';

test('a VM whose agent listens is reached by a host that connects, as under Firecracker', async () => {
  await using lab = new VmLab();
  const up = await lab.run(
    'vm',
    'up',
    '--name',
    'fc',
    '--transport',
    'listen',
    '--shell',
    '--json',
  );
  expect(up.stderr).toContain('agent: negotiated');
  expect(up.code).toBe(0);
  expect(JSON.parse(up.stdout)).toMatchObject({ name: 'fc', milliseconds: { qemu: 0 } });
  {
    await using host = new RawHost(lab.directory('fc').vsock);
    const bridge = new RawBridge(await host.dial(RAW_BRIDGE_PORT));
    expect(await negotiate(bridge)).toMatchObject({ Result: 0, Version: 4 });
    bridge.close();
    await expect(host.dial(4711)).rejects.toThrow('refused');
  }
  const hello = await lab.run('vm-exec', '--vm', 'fc', '--', 'uname', '-n');
  expect(hello).toMatchObject({ code: 0 });
  await useConsole(lab, 'fc');
  const state = lab.state('fc');
  const again = await lab.run('vm', 'up', '--name', 'fc');
  expect(again).toMatchObject({ code: 125, stderr: expect.stringContaining('runs already') });
  const list = await lab.run('vm', 'list');
  expect(list.stdout).toMatch(/fc +3 +listen .* running/);
  expect((await lab.run('vm', 'logs', 'fc')).stdout).toContain('bridge negotiated');
  const console = (await lab.run('vm', 'logs', '--console', 'fc')).stdout;
  expect(console).toContain('init: start');
  expect(console).not.toMatch(/init: .*errno/);
  expect(await lab.run('vm', 'down', 'fc')).toMatchObject({ code: 0, stderr: 'fc: powered off\n' });
  await lab.untilGone(state);
  expect((await lab.run('vm', 'list')).stdout).not.toContain('fc');
});

test('a VM whose supervisor is killed is gone, QEMU too, and its name is free', async () => {
  await using lab = new VmLab();
  const up = lab.start('vm', 'up', '--name', 'crash');
  await untilPhase(up.stderr, 'init runs');
  const state = lab.state('crash');
  process.kill(state.supervisor?.pid ?? 0, 'SIGKILL');
  await once(up, 'exit');
  expect(up.exitCode).toBe(125);
  await lab.untilGone(state);
  expect((await lab.run('vm', 'list')).stdout).toContain('ended: its supervisor was killed');
  expect(lab.sockets('crash')).toEqual([]);
});

test('Ctrl-C in each phase of the start ends it, with every process and socket', async () => {
  await using lab = new VmLab();
  const phases = ['QEMU', ' processors, ', 'init runs', 'the agent is started'];
  for (const phase of phases) {
    const up = lab.start('vm', 'up', '--name', 'early');
    // The first QEMU is there before anything is said: it tells whether KVM works.
    if (phase === 'QEMU') await lab.untilQemuRuns();
    else await untilPhase(up.stderr, phase);
    up.kill('SIGINT');
    up.stderr?.resume();
    await once(up, 'exit');
    expect(up.exitCode, phase).toBe(130);
    await lab.untilNobodyIsLeft();
    expect(lab.sockets('early'), phase).toEqual([]);
  }
});

test.skipIf(existsSync('/dev/vhost-vsock'))(
  'without /dev/vhost-vsock its transport is refused, and another one named',
  async () => {
    await using lab = new VmLab();
    const up = await lab.run('vm', 'up', '--name', 'v', '--transport', 'vsock');
    expect(up).toMatchObject({ code: 125, stdout: '' });
    expect(up.stderr).toContain('/dev/vhost-vsock cannot be used: --transport hybrid needs none');
    expect((await lab.run('vm', 'list', '--json')).stdout).toBe('[]\n');
  },
);

async function useConsole(lab: VmLab, name: string): Promise<void> {
  vi.stubEnv('GCSCTL_VM_DIR', lab.base);
  using terminal = new TerminalGcsctl(['vm', 'console', name], { width: 80, height: 24 });
  vi.unstubAllEnvs();
  await terminal.shows(/Ctrl-] leaves/);
  // Only the guest can know this: by then the terminal is set up, and echoes nothing itself.
  terminal.type('echo ready-$((1 + 1))\r');
  await terminal.shows(/ready-2/);
  expect(terminal.settings()).not.toBe(terminal.settingsBefore);
  // Each key goes to the guest, also the one that would interrupt gcsctl here.
  // Until the shell runs it, the key is a character of its line, and no interrupt.
  terminal.type('echo run-$((2 + 3)); sleep 1000\r');
  await terminal.shows(/run-5/);
  terminal.type('\x03');
  await terminal.shows(/\^C/);
  terminal.type('echo $((6 * 7))=$(cat /proc/1/comm)\r');
  await terminal.shows(/42=init/);
  terminal.type('\x1d');
  expect(await terminal.ended).toBe(0);
  expect(terminal.settings()).toBe(terminal.settingsBefore);
}

test('a guest without its root tells why on the console, and is not left running', async () => {
  await using lab = new VmLab();
  const wrong = ['--append', 'gcs.root=/dev/none:erofs', '--timeout', '60'];
  const up = await lab.run('vm', 'up', '--name', 'broken', ...wrong);
  expect(up.code).toBe(125);
  expect(up.stderr).toContain('did not answer within 60 s');
  expect(up.stderr).toContain('console.log:');
  const { stdout } = await lab.run('vm', 'logs', '--console', 'broken');
  expect(stdout).toContain('mount root /dev/none');
  await lab.untilGone(lab.state('broken'));
  expect(lab.sockets('broken')).toEqual([]);
});

async function untilPhase(stderr: Readable | null, phase: string): Promise<void> {
  if (stderr === null) throw new Error('no stderr');
  for await (const line of createInterface({ input: stderr })) {
    if (line.includes(phase)) break;
  }
  stderr.resume();
}
