/** The agent dies under its containers; init starts another one. */
import type net from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { connectManagement } from '../../src/client/management/index.ts';
import { freshId } from '../support/management.ts';
import type { RawBridge } from '../support/raw-client.ts';
import { execInUvm, firstData, negotiate } from '../support/raw-flows.ts';
import { readSequence } from '../support/sequence.ts';
import { Session, shellProcess, spec, type Tested, testVm, useRootfs } from '../support/suite.ts';
import { inGuest, leavingNothingIn, openVm, type VmSession } from '../support/vm-agent.ts';

useRootfs();

const vm = testVm ?? expect.unreachable('these tests need a VM');

/** A host whose bridge is another one after each kill. */
class Host implements Tested {
  readonly #first: VmSession;
  #bridge: RawBridge;

  constructor(first: VmSession) {
    this.#first = first;
    this.#bridge = first.bridge;
  }

  get agent(): Tested['agent'] {
    return this.#first.agent;
  }

  get host(): Tested['host'] {
    return this.#first.host;
  }

  get bridge(): RawBridge {
    return this.#bridge;
  }

  /** Ends the agent by a script of the VM, in which it is $agent; resolves when the next one has negotiated. */
  async replaceBy(script: string): Promise<void> {
    const CommandArgs = ['/bin/sh', '-c', `agent=$PPID; ${script}`];
    const started = execInUvm(this.host, this.bridge, { CommandArgs, Environment: {} }, {});
    await started.catch(() => undefined); // The agent may die before it replies.
    await this.bridge.closed;
    this.#bridge = await this.host.acceptBridge(AbortSignal.timeout(60_000));
    await negotiate(this.#bridge);
  }
}

/** Runs `body` with an agent it may kill, and requires that nothing is left of it all. */
function withMortalAgent(body: (session: Session, host: Host) => Promise<void>): Promise<void> {
  return leavingNothingIn(vm, async () => {
    await using first = await openVm(vm);
    const host = new Host(first);
    await body(new Session(host), host);
  });
}

const kill = 'kill -9 $agent';

test('containers go on under the next agent, and can be ended by it', async () => {
  await withMortalAgent(async (session, host) => {
    const before = await session.agentPid();
    await session.create('survivor', { args: ['sleep', '100000'] });
    const init = await session.startInit('survivor', {});
    await host.replaceBy(kill);
    expect(await session.agentPid()).not.toBe(before);
    const commandLine = `cat /proc/${init.pid}/cmdline | tr '\\0' ' '`;
    expect(await session.uvmSh(commandLine)).toBe('sleep 100000 ');
    await session.signal('survivor', init.pid, 9);
    expect(await session.wait('survivor', init.pid)).toBe(137);
    await session.delete('survivor');
  });
});

test('streams across the device go on through kill after kill, no byte lost or twice', async () => {
  await withMortalAgent(async (session, host) => {
    const count = 600_000;
    await session.create('c1', { args: ['sh', '-c', `seq ${count}; exit 5`] });
    const init = await session.startInit('c1', { stdout: true });
    await readSequence(init.stdout as net.Socket, count, 2, () => host.replaceBy(kill));
    init.stdout?.destroy();
    expect(await session.wait('c1', init.pid)).toBe(5);
    await session.delete('c1');
  });
});

test('who ends while no agent runs: exit code and last words are there', async () => {
  await withMortalAgent(async (session, host) => {
    const all = { stdin: true, stdout: true, stderr: true };
    await session.create('c1', { args: ['sleep', '100000'] });
    const init = await session.startInit('c1', {});
    const script = "trap 'kill $!; echo last words; exit 23' USR2; echo ready; sleep 100000 & wait";
    const exec = await session.exec('c1', shellProcess(script), all);
    await firstData(exec.stdout);
    exec.stdout?.pause();
    const ended = `while [ "$(cut -d' ' -f3 /proc/${exec.pid}/stat)" != Z ]; do :; done`;
    await host.replaceBy(`kill -STOP $agent; kill -USR2 ${exec.pid}; ${ended}; ${kill}`);
    expect(await session.finish('c1', exec)).toMatchObject({
      exitCode: 23,
      stdout: 'last words\n',
    });
    await session.killAndDelete('c1', init);
  });
});

test('a client of the door goes on with its events, and finds what it has made', async () => {
  await withMortalAgent(async (session, host) => {
    const { path } = session.raw.host;
    const connect = () => connectManagement(path, { timeoutMs: 60_000 });
    let client = await connect();
    const log = { path: `/run/${freshId('mortal')}.log` };
    const args = 'echo begun; read x; echo "got $x"; exit 6';
    const { epoch, next } = await client.call('events.subscribe', {});
    await client.call('container.create', { id: 'd1', spec: spec({ args }), log, openStdin: true });
    await client.start('d1');
    const told: string[] = [];
    const following = (async () => {
      for await (const item of client.events({ from: Number(next), epoch })) {
        told.push(item.type === 'gap' ? item.reason : `${item.kind} ${item.containerId}`);
        if (item.type === 'event' && item.kind === 'delete') break;
      }
    })();
    await expect.poll(() => told, { timeout: 60_000 }).toEqual(['create d1', 'start d1']);
    await host.replaceBy(kill);
    await client.ended;
    client = await connect();
    expect((await client.call('container.list', {})).containers).toMatchObject([
      { id: 'd1', status: 'running', logPath: log.path },
    ]);
    const init = await client.attach('d1', 'init', { stdin: true });
    init.stdin?.end('more\n');
    expect(await client.call('container.wait', { id: 'd1' })).toMatchObject({ exitCode: 6 });
    const { stream, done } = await client.stream('logs.read', { containerId: 'd1' });
    const lines = (await text(stream)).trimEnd().split('\n');
    await done;
    expect(lines.map((line) => line.replace(/^\S+ /, ''))).toEqual([
      'stdout F begun',
      'stdout F got more',
    ]);
    await client.call('container.delete', { id: 'd1' });
    await following;
    expect(told.slice(2)).toEqual(['other-epoch', 'exit d1', 'delete d1']);
    client.close();
    await session.uvmSh(`rm -f ${log.path}`);
  });
});

test('the guest has cgroup v2 with its controllers for containers', async () => {
  const controllers = await inGuest(vm, 'cat /sys/fs/cgroup/cgroup.subtree_control');
  for (const name of ['cpu', 'memory', 'pids', 'io']) expect(controllers).toContain(name);
});

test('programs and modules that storage and network need are there', async () => {
  const script = `set -e
    for p in mkfs.ext4 mkfs.xfs e2fsck resize2fs cryptsetup veritysetup integritysetup dmsetup ip crun runc; do
      command -v $p >/dev/null || echo "no $p"; done
    for m in ext4 xfs 9p 9pnet_virtio virtiofs dm-verity dm-crypt dm-integrity loop veth dummy tun; do
      modprobe $m || echo "no $m"; done
    mkfs.xfs -V >/dev/null; cryptsetup --version >/dev/null; dmsetup --version >/dev/null
    ip link add probe type dummy && ip link del probe
    if ip link show dummy0 >/dev/null 2>&1; then ip link del dummy0; fi`;
  expect(await inGuest(vm, script)).toBe('');
});
