/** "gcsctl vm": what it starts, and that nothing of it stays. */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { RAW_BRIDGE_PORT, RawBridge, RawHost } from '../support/raw-client.ts';
import { negotiate } from '../support/raw-flows.ts';
import { VmLab } from '../support/vm-command.ts';

test('a VM whose agent listens is reached by a host that connects, as under Firecracker', async () => {
  await using lab = new VmLab();
  const up = await lab.run('vm', 'up', '--name', 'fc', '--transport', 'listen', '--json');
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
  const state = lab.state('fc');
  const again = await lab.run('vm', 'up', '--name', 'fc');
  expect(again).toMatchObject({ code: 125, stderr: expect.stringContaining('runs already') });
  const list = await lab.run('vm', 'list');
  expect(list.stdout).toMatch(/fc +3 +listen .* running/);
  expect((await lab.run('vm', 'logs', 'fc')).stdout).toContain('bridge negotiated');
  expect((await lab.run('vm', 'logs', '--console', 'fc')).stdout).toContain('init: start');
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

test('Ctrl-C during the start ends it, with every process and socket', async () => {
  await using lab = new VmLab();
  const up = lab.start('vm', 'up', '--name', 'early');
  await untilPhase(up.stderr, 'init runs');
  const state = lab.state('early');
  up.kill('SIGINT');
  await once(up, 'exit');
  expect(up.exitCode).toBe(130);
  await lab.untilGone(state);
  expect(lab.sockets('early')).toEqual([]);
});

test('a guest without its root tells why on the console, and is not left running', async () => {
  await using lab = new VmLab();
  const wrong = ['--append', 'gcs.root=/dev/none:erofs', '--timeout', '40'];
  const up = await lab.run('vm', 'up', '--name', 'broken', ...wrong);
  expect(up.code).toBe(125);
  expect(up.stderr).toContain('did not answer within 40 s');
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
