import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import {
  addressesOf,
  createNetworked,
  linkNames,
  modifyNetwork,
  newGuid,
  plug,
  resolvConfOf,
  unplug,
} from '../support/network-lab.ts';
import { processEntry } from '../support/proc.ts';
import { NULL_CONTAINER, RAW } from '../support/raw-client.ts';
import { firstData, readAll } from '../support/raw-flows.ts';
import { readSequence } from '../support/sequence.ts';
import { shellProcess, spec, useRootfs } from '../support/suite.ts';
import { type SupervisedSession, withSupervised } from '../support/supervised-agent.ts';
import { serveDhcp } from '../support/udhcpd.ts';

useRootfs();

/** Told, not asserted: how fast it is depends on what else the machine does. */
async function replaced(session: SupervisedSession): Promise<void> {
  const took = await session.supervised.replace();
  console.log(`negotiated ${Math.round(took)} ms after the kill`);
}

const all = { stdin: true, stdout: true, stderr: true };
const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };

test('a container that runs goes on: its streams, its exit code, its notification', async () => {
  await withSupervised({}, async (session) => {
    await session.create('c1', { args: ['sh', '-c', 'echo one; read x; echo "two $x"; exit 7'] });
    const init = await session.startInit('c1', all);
    expect(String(await firstData(init.stdout))).toBe('one\n');
    init.stdout?.pause();
    await replaced(session);
    init.stdin?.end('more\n');
    const { exitCode, stdout } = await session.finish('c1', init);
    expect([exitCode, stdout]).toEqual([7, 'two more\n']);
    expect((await session.notification('c1')).body).toMatchObject({ ContainerId: 'c1' });
    await session.delete('c1');
  });
});

test('a container that is created can be started, with its terminal or pipes', async () => {
  await withSupervised({}, async (session) => {
    for (const terminal of [false, true]) {
      const id = terminal ? 'tty' : 'pipes';
      await session.create(id, { args: ['sh', '-c', 'echo begun; exit 6'], terminal });
      await replaced(session);
      const init = await session.startInit(id, { stdout: true });
      const { exitCode, stdout } = await session.finish(id, init);
      expect([exitCode, stdout.trim()]).toEqual([6, 'begun']);
      await session.delete(id);
    }
  });
});

test('processes that end while no agent runs: code and output are there, to the last byte', async () => {
  await withSupervised({}, async (session) => {
    const script = (code: number) =>
      `trap 'kill $!; echo last words; exit ${code}' USR2; echo ready; sleep 1000 & wait`;
    await session.create('c1', { args: ['sh', '-c', script(23)] });
    const init = await session.startInit('c1', all);
    await session.create('c2', { args: ['sleep', '1000'] });
    const other = await session.startInit('c2', {});
    const exec = await session.exec('c2', shellProcess(script(24)), all);
    for (const { stdout } of [init, exec]) {
      await firstData(stdout);
      stdout?.pause();
    }
    const { supervised } = session;
    const outer = [exec, init].map(({ pid }) => supervised.outerPid(pid));
    const agent = supervised.pid ?? 0;
    // Stopped, it neither relays nor collects.
    process.kill(agent, 'SIGSTOP');
    for (const pid of outer) {
      process.kill(pid, 'SIGUSR2');
      while (processEntry(pid)?.state !== 'Z') await delay(5);
    }
    process.kill(agent, 'SIGKILL');
    await session.bridge.closed;
    await supervised.connect();
    expect(await session.finish('c1', init)).toMatchObject({
      exitCode: 23,
      stdout: 'last words\n',
    });
    expect(await session.finish('c2', exec)).toMatchObject({
      exitCode: 24,
      stdout: 'last words\n',
    });
    await session.notification('c1');
    await session.delete('c1');
    await session.killAndDelete('c2', other);
  });
});

test('a container that ended before the kill: its code is there, its notification is not sent again', async () => {
  await withSupervised({}, async (session) => {
    await session.create('c1', { args: ['sh', '-c', 'exit 3'] });
    const init = await session.startInit('c1', { stdout: true });
    expect((await session.finish('c1', init)).exitCode).toBe(3);
    await session.notification('c1');
    // That it was sent is noted after it was sent: a kill between the two has it sent again.
    await session.properties('c1', ['ProcessList']);
    await replaced(session);
    expect(await session.wait('c1', init.pid)).toBe(3);
    await session.delete('c1');
    expect(session.bridge.notifications).toEqual([]);
  });
});

test.each([
  'pipes',
  'terminal',
])('%s: a stream goes on through kill after kill, no byte lost or twice', async (kind) => {
  await withSupervised({}, async (session) => {
    const terminal = kind === 'terminal';
    const count = terminal ? 300_000 : 3_000_000;
    const script = `${terminal ? 'stty -opost; ' : ''}seq ${count}; exit 5`;
    await session.create('c1', { args: ['sh', '-c', script], terminal });
    const init = await session.startInit('c1', { stdout: true });
    await readSequence(init.stdout as net.Socket, count, 3, () => replaced(session));
    init.stdout?.destroy();
    expect(await session.wait('c1', init.pid)).toBe(5);
    await session.delete('c1');
  });
});

test('input goes on, no byte lost or twice', async () => {
  await withSupervised({}, async (session) => {
    await session.create('c1', { args: ['sha256sum'] });
    const init = await session.startInit('c1', all);
    const hash = createHash('sha256');
    for (let part = 0; part < 60; part++) {
      const bytes = Buffer.alloc(100_000, part);
      hash.update(bytes);
      init.stdin?.write(bytes);
      if (part % 20 === 10) await replaced(session);
    }
    init.stdin?.end();
    const { exitCode, stdout } = await session.finish('c1', init);
    expect([exitCode, stdout.split(' ')[0]]).toEqual([0, hash.digest('hex')]);
    await session.delete('c1');
  });
});

test('processes in a container: each has its streams and its code', async () => {
  await withSupervised({}, async (session) => {
    await session.create('c1', { args: ['sleep', '1000'] });
    const init = await session.startInit('c1', { stdout: true });
    const script = 'echo ready; read x; echo "$x"; exit $x';
    const execs = [];
    for (let n = 0; n < 3; n++) {
      const exec = await session.exec('c1', shellProcess(script), all);
      await firstData(exec.stdout);
      exec.stdout?.pause();
      execs.push(exec);
    }
    const terminal = await session.exec('c1', shellProcess(script, { terminal: true }), {
      stdin: true,
      stdout: true,
    });
    await firstData(terminal.stdout);
    terminal.stdout?.pause();
    await replaced(session);
    for (const [n, exec] of execs.entries()) {
      exec.stdin?.end(`${40 + n}\n`);
      const { exitCode, stdout } = await session.finish('c1', exec);
      expect([exitCode, stdout]).toEqual([40 + n, `${40 + n}\n`]);
    }
    terminal.stdin?.write('50\n');
    const last = await session.finish('c1', terminal);
    expect([last.exitCode, last.stdout]).toEqual([50, '50\r\n50\r\n']);
    init.stdout?.destroy();
    await session.signal('c1', init.pid, 9);
    expect(await session.wait('c1', init.pid)).toBe(137);
    await session.delete('c1');
  });
});

test('processes of the VM: direct streams and a terminal', async () => {
  await withSupervised({}, async (session) => {
    const script = 'echo ready; read x; echo "$x"; exit $x';
    const CommandArgs = ['sh', '-c', script];
    const direct = await session.execInUvm({ CommandArgs, Environment: environment }, all);
    const terminal = await session.execInUvm(
      { CommandArgs, Environment: environment, EmulateConsole: true, ConsoleSize: [24, 80] },
      { stdin: true, stdout: true },
    );
    for (const { stdout } of [direct, terminal]) {
      await firstData(stdout);
      stdout?.pause();
    }
    await replaced(session);
    direct.stdin?.end('31\n');
    expect(await session.finish(NULL_CONTAINER, direct)).toMatchObject({
      exitCode: 31,
      stdout: '31\n',
    });
    terminal.stdin?.write('32\n');
    expect(await session.finish(NULL_CONTAINER, terminal)).toMatchObject({
      exitCode: 32,
      stdout: '32\r\n32\r\n',
    });
  });
});

test('what is kept can be read by nobody else, and is gone with the containers', async () => {
  await withSupervised({}, async (session) => {
    await session.create('c1', { args: ['sleep', '1000'] });
    const state = session.supervised.path('/run/gcs/state');
    expect(statSync(state).mode & 0o777).toBe(0o700);
    expect(readFileSync(`${state}/c/c1/state.json`, 'utf8')).toContain('"phase":"created"');
    await session.delete('c1');
  });
});

test('without a journal nothing is taken over, and no stream stays in the store', async () => {
  await withSupervised({ args: ['-state-dir', 'off'] }, async (session) => {
    await session.create('c1', { args: ['cat'] });
    const init = await session.startInit('c1', all);
    const ended = readAll(init.stdout);
    await replaced(session);
    await ended;
    await expect(session.properties('c1', ['ProcessList'])).rejects.toThrow('not found');
    for (const stream of [init.stdin, init.stderr]) stream?.destroy();
    // The runtime has it still.
    await session.uvmSh('runc delete --force c1; rm -r /run/gcs/c/c1 /run/gcsrunc/c1');
  });
});

test('the security policy stays set, and containers are offered its documents', async () => {
  const encoded = Buffer.from('{"allow_all":true}').toString('base64');
  await withSupervised({ mayEnd: true }, async (session) => {
    const modify = (ResourceType: string, Settings: object) =>
      session.call(RAW.modifySettings, {
        ContainerId: NULL_CONTAINER,
        Request: { RequestType: 'Update', ResourceType, Settings },
      });
    const set = () => modify('SecurityPolicy', { EncodedSecurityPolicy: encoded });
    await set();
    const refusal = await set().catch(String);
    expect(refusal).toContain('security policy has already been set');
    for (let kill = 0; kill < 2; kill += 1) {
      await replaced(session);
      expect(await set().catch(String)).toBe(refusal);
      await modify('SecurityPolicyFragment', { Fragment: encoded });
    }
    await session.create('c1', {
      args: ['sh', '-c', 'cat $UVM_SECURITY_CONTEXT_DIR/security-policy-base64'],
    });
    const init = await session.startInit('c1', { stdout: true });
    expect((await session.finish('c1', init)).stdout).toBe(encoded);
    await session.delete('c1');
  });
});

test('records that cannot be read: the log names them, what lives can be ended and deleted', async () => {
  await withSupervised({}, async (session) => {
    await session.create('c1', { args: ['sleep', '1000'] });
    const init = await session.startInit('c1', {});
    const file = 'c/c1/state.json';
    for (const torn of ['', '{"version":99}']) {
      writeFileSync(session.supervised.path(`/run/gcs/state/${file}`), torn);
      await replaced(session);
      expect(session.supervised.log).toContain(`file=${file}`);
    }
    await session.signal('c1', init.pid, 9);
    expect(await session.wait('c1', init.pid)).toBe(137);
    await session.delete('c1');
  });
});

test('an agent that is told to end takes its containers with it, and forgets them', async () => {
  await withSupervised({ mayEnd: true }, async (session) => {
    await session.create('c1', { args: ['sleep', '1000'] });
    const init = await session.startInit('c1', { stdout: true });
    await replaced(session);
    const ended = readAll(init.stdout);
    process.kill(session.supervised.pid ?? 0, 'SIGTERM');
    await session.supervised.bridge.closed;
    await ended;
    expect(await session.supervised.end()).toEqual({ code: 0, signal: null });
  });
});

test('network: adapters are known, can be removed and added, and name servers follow', async () => {
  await withSupervised({}, async (session) => {
    await session.uvmSh('mount -t tmpfs tmpfs /sys/bus && mkdir -p /sys/bus/vmbus/devices');
    const namespace = newGuid();
    const first = await plug(session, 'eth0', ['10.9.0.1/24']);
    await session.uvmSh(`ip link set ${first.peer} name q0`);
    const adapter = (id: string, subnet: string) => ({
      NamespaceID: namespace,
      ID: id,
      DNSServerList: `${subnet}.53`,
      IPAddress: `${subnet}.2`,
      PrefixLength: 24,
    });
    await modifyNetwork(session, 'Add', adapter(first.id, '10.9.0'));
    const pid = await createNetworked(session, 'net', namespace);
    const init = await session.startInit('net', {});
    await replaced(session);
    expect(await addressesOf(session, pid, 'eth0')).toEqual(['10.9.0.2/24']);
    const again = modifyNetwork(session, 'Add', adapter(first.id, '10.9.0'));
    await expect(again).rejects.toThrow('already present in namespace');
    const second = await plug(session, 'eth0');
    await session.uvmSh(`ip link set ${second.peer} name q1`);
    await modifyNetwork(session, 'Add', adapter(second.id, '10.9.1'));
    expect(await addressesOf(session, pid, 'eth1')).toEqual(['10.9.1.2/24']);
    expect(await resolvConfOf(session, 'net')).toBe('nameserver 10.9.0.53\nnameserver 10.9.1.53\n');
    await replaced(session);
    await modifyNetwork(session, 'Remove', { NamespaceID: namespace, ID: first.id });
    expect(await linkNames(session, pid)).toEqual(['eth1', 'lo']);
    expect(await linkNames(session, 'agent')).toContain('eth0');
    expect(await resolvConfOf(session, 'net')).toBe('nameserver 10.9.1.53\n');
    await session.killAndDelete('net', init);
    await modifyNetwork(session, 'Remove', { NamespaceID: namespace, ID: second.id });
    await session.uvmSh('ip link del q0; umount /sys/bus');
  });
});

test('network: an address from DHCP stays and is renewed by the next agent', async () => {
  await withSupervised({}, async (session) => {
    await session.uvmSh('mount -t tmpfs tmpfs /sys/bus && mkdir -p /sys/bus/vmbus/devices');
    const namespace = newGuid();
    const nic = await plug(session, 'eth0', ['10.9.0.1/24']);
    const stop = await serveDhcp(session, nic.peer, {
      range: ['10.9.0.20', '10.9.0.20'],
      leaseSeconds: 4,
    });
    await modifyNetwork(session, 'Add', { NamespaceID: namespace, ID: nic.id });
    const pid = await createNetworked(session, 'dhcp', namespace);
    await replaced(session);
    expect(await addressesOf(session, pid, 'eth0')).toEqual(['10.9.0.20/24']);
    const monitor = await session.execInUvm(
      {
        CommandArgs: ['nsenter', '-t', `${pid}`, '-n', '/bin/ip', 'monitor', 'address'],
        Environment: environment,
      },
      { stdout: true },
    );
    // A renewal gives the address more time.
    while (!String(await firstData(monitor.stdout)).includes('10.9.0.20'));
    await session.signal(NULL_CONTAINER, monitor.pid, 9);
    await session.finish(NULL_CONTAINER, monitor);
    expect(await addressesOf(session, pid, 'eth0')).toEqual(['10.9.0.20/24']);
    await stop();
    await session.delete('dhcp');
    await modifyNetwork(session, 'Remove', { NamespaceID: namespace, ID: nic.id });
    await unplug(session, nic);
    await session.uvmSh('umount /sys/bus');
  });
});

test('a pod: its sandbox is there for new containers, and goes after the last of them', async () => {
  await withSupervised({}, async (session) => {
    const sandbox = { 'io.kubernetes.cri.container-type': 'sandbox' };
    const workload = {
      'io.kubernetes.cri.container-type': 'container',
      'io.kubernetes.cri.sandbox-id': 'pod',
    };
    const { hostname: _, ...sleeping } = spec({ args: ['sleep', '1000'] });
    const create = (id: string, annotations: object) =>
      session.createFrom(id, { ...sleeping, annotations });
    await create('pod', { ...sandbox, 'io.kubernetes.cri.sandbox-id': 'pod' });
    const init = await session.startInit('pod', {});
    await create('one', workload);
    await replaced(session);
    await create('two', workload);
    await session.signal('pod', init.pid, 9);
    await session.wait('pod', init.pid);
    await expect(session.delete('pod')).rejects.toThrow(
      'sandbox pod still has containers: one, two',
    );
    await replaced(session);
    for (const id of ['one', 'two', 'pod']) await session.delete(id);
    expect(existsSync(session.supervised.path('/run/gcs/c/pod'))).toBe(false);
  });
});

test('without a supervisor the next agent takes over what lives, and says what it cannot know', async () => {
  await withSupervised({ supervise: false }, async (session) => {
    const { supervised } = session;
    await session.create('lives', { args: ['sleep', '1000'] });
    const lives = await session.startInit('lives', {});
    await session.create('ends', { args: ['sh', '-c', 'read x; exit 3'] });
    const ends = await session.startInit('ends', { stdin: true });
    const outer = supervised.outerPid(ends.pid);
    await supervised.kill();
    // Its streams went with the agent: it reads the end of its input.
    ends.stdin?.destroy();
    while (processEntry(outer) !== undefined) await delay(5);
    supervised.startAgain();
    await supervised.connect();
    expect(await session.wait('ends', ends.pid)).toBe(255);
    expect(supervised.log).toContain('nobody recorded how');
    await session.delete('ends');
    await session.signal('lives', lives.pid, 9);
    // Here the kernel tells, from 6.15 on.
    expect([137, 255]).toContain(await session.wait('lives', lives.pid));
    await session.delete('lives');
  });
});
