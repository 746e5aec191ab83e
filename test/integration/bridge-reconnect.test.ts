import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { NULL_CONTAINER, RAW, rawFrame, ZERO_ACTIVITY } from '../support/raw-client.ts';
import { firstData, negotiate, readAll } from '../support/raw-flows.ts';
import { bundleOf, Session, spec, useRootfs, withSession } from '../support/suite.ts';

useRootfs();

/** The session over the connection that the agent makes after it lost the one before. */
async function reconnected(s: Session): Promise<Session> {
  const bridge = await s.raw.agent.orExit(s.raw.host.acceptBridge());
  await negotiate(bridge);
  return new Session({ ...s.raw, bridge });
}

test('the bridge is lost while a container runs: it goes on, and its end is told on the next', () =>
  withSession(async (first) => {
    await first.create('kept', { args: 'read x; echo "got $x"; exit 21' });
    const init = await first.startInit('kept', { stdin: true, stdout: true });
    const lost = first.wait('kept', init.pid);
    first.bridge.close();
    await expect(lost).rejects.toThrow('closed');
    init.stdin?.end('word\n');
    expect(await readAll(init.stdout)).toBe('got word\n');
    init.stdin?.destroy();
    const second = await reconnected(first);
    expect((await second.notification('kept')).body.Type).toBe('UnexpectedExit');
    expect(await second.wait('kept', init.pid)).toBe(21);
    await second.delete('kept');
    expect(second.bridge.notifications).toHaveLength(1);
  }));

test('a notification that came while no host was there waits for the next', () =>
  withSession(async (first) => {
    await first.create('alone', { args: ['sleep', '1000'] });
    const init = await first.startInit('alone', { stdout: true });
    // Killed while no host is there, by a process of the VM that waits for its input to do so.
    const killer = await first.execInUvm(
      { CommandArgs: ['/bin/sh', '-c', `read x; kill -9 ${init.pid}`] },
      { stdin: true },
    );
    first.raw.host.stopListening();
    first.bridge.close();
    killer.stdin?.end('now\n');
    expect(await readAll(init.stdout)).toBe('');
    await first.raw.host.listenBridge();
    const second = await reconnected(first);
    await second.notification('alone');
    expect(await second.wait('alone', init.pid)).toBe(137);
    expect((await second.finish(NULL_CONTAINER, killer)).exitCode).toBe(0);
    await second.delete('alone');
  }));

/** Nothing tells a host that the create of the host before it is through: it asks until it is. */
async function startedOnceCreated(s: Session, id: string) {
  for (;;) {
    try {
      return await s.startInit(id);
    } catch (error) {
      if (!String(error).includes('still being created')) throw error;
      await delay(50);
    }
  }
}

test('a create that was under way when the bridge was lost is finished, not redone', () =>
  withSession(async (first) => {
    const created = first.create('flight', { args: ['sleep', '1000'] });
    // Sent before the end of the connection, so it is read before it.
    first.bridge.socket.end();
    await expect(created).rejects.toThrow('closed');
    const second = await reconnected(first);
    const again = second.create('flight', { args: ['true'] });
    await expect(again).rejects.toThrow(/already exists|being created|0xc037010f/);
    const init = await startedOnceCreated(second, 'flight');
    await second.killAndDelete('flight', init);
  }));

test.each([
  ['garbage', Buffer.alloc(64, 0xaa)],
  ['a size below the header', rawFrame(RAW.start, 7n, '', 4)],
  ['a size of 2 GiB', rawFrame(RAW.start, 7n, '', 0x7fffffff)],
  ['a truncated frame', rawFrame(RAW.create, 7n, '{"ContainerId":', 4096)],
])('%s ends the connection and nothing else', (_, bytes) =>
  withSession(async (first) => {
    await first.create('safe', { args: 'echo on; cat' });
    const init = await first.startInit('safe', { stdin: true, stdout: true });
    await firstData(init.stdout);
    const before = await first.agentPid();
    first.bridge.sendBytes(bytes);
    first.bridge.socket.end();
    const second = await reconnected(first);
    expect(await second.agentPid()).toBe(before);
    const inside = await second.sh('safe', 'echo untouched');
    expect((await second.finish('safe', inside)).stdout).toBe('untouched\n');
    init.stdin?.end();
    expect((await second.finish('safe', init)).exitCode).toBe(0);
    await second.delete('safe');
  }));

test('ten thousand requests at once are all answered, the agent stays small', () =>
  withSession(async (s) => {
    await s.create('busy', { args: ['sleep', '1000'] });
    const init = await s.startInit('busy', {});
    const waits = Array.from({ length: 10_000 }, () =>
      s.bridge.call(RAW.waitForProcess, {
        ContainerId: 'busy',
        ProcessId: init.pid,
        TimeoutInMs: 0xffffffff,
      }),
    );
    expect(await s.uvmSh('echo still answering')).toBe('still answering\n');
    const status = await s.uvmSh('cat /proc/$PPID/status');
    expect(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1])).toBeLessThan(320 * 1024);
    await s.signal('busy', init.pid, 9);
    const codes = await Promise.all(waits);
    expect(new Set(codes.map((reply) => reply.body.ExitCode))).toEqual(new Set([137]));
    await s.finish('busy', init);
    await s.delete('busy');
  }));

test('a duplicate id of a request under way is refused, the first is answered', () =>
  withSession(async (s) => {
    await s.create('dup', { args: ['cat'] });
    const init = await s.startInit('dup', { stdin: true });
    const body = {
      ContainerId: 'dup',
      ActivityId: ZERO_ACTIVITY,
      ProcessId: init.pid,
      TimeoutInMs: 0xffffffff,
    };
    const id = s.bridge.nextId();
    const first = s.bridge.request(RAW.waitForProcess, body, { id });
    expect(s.bridge.pending).toBe(1);
    init.stdin?.destroy();
    expect((await first).body.ExitCode).toBe(0);
    expect(await s.uvmSh('echo fine')).toBe('fine\n');
    await s.delete('dup');
  }));

test('the same bundle and id can be used again and again', () =>
  withSession(async (s) => {
    for (let i = 0; i < 5; i++) {
      await s.createFrom('again', spec({ args: ['sh', '-c', `exit ${i}`] }));
      const init = await s.startInit('again');
      expect((await s.finish('again', init)).exitCode).toBe(i);
      await s.delete('again');
      expect(await s.uvmSh(`ls -d ${bundleOf('again')} 2>/dev/null || echo gone`)).toBe('gone\n');
    }
  }));
