/** Where the agent that hosts know goes wrong; each test is named after what happens there. */
import { expect, test } from 'vitest';
import { NULL_CONTAINER, RAW, RawFailure } from '../support/raw-client.ts';
import { firstData, OutputSoFar, readAll } from '../support/raw-flows.ts';
import {
  bundleOf,
  type Session,
  shellProcess,
  spec,
  testOutsideVm,
  useRootfs,
  withSession,
} from '../support/suite.ts';

useRootfs();

async function failure(promise: Promise<unknown>): Promise<{ hresult: string; message: string }> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof RawFailure)) throw new Error(`not refused by the agent: ${String(error)}`);
  return {
    hresult: `0x${error.hresult.toString(16)}`,
    message: String(error.reply.body.ErrorMessage),
  };
}

/** The agent still does its work. */
async function works(s: Session): Promise<void> {
  expect(await s.uvmSh('echo alive')).toBe('alive\n');
}

test.each([
  ['without an OCI specification', () => ({}), 'OciSpecification'],
  [
    'without linux',
    () => ({ OciSpecification: { ...spec({ args: 'true' }), linux: undefined } }),
    'linux',
  ],
  [
    'without process',
    () => ({ OciSpecification: { ...spec({ args: 'true' }), process: undefined } }),
    'process',
  ],
  ['without arguments', () => ({ OciSpecification: spec({ args: [] }) }), 'process.args'],
])('Create %s: an error that names the field, not a dead agent', (_, config, field) =>
  withSession(async (s) => {
    const refused = await failure(
      s.call(RAW.create, {
        ContainerId: 'nil',
        ContainerConfig: JSON.stringify({
          SchemaVersion: { Major: 2, Minor: 1 },
          OciBundlePath: bundleOf('nil'),
          ...config(),
        }),
      }),
    );
    expect(refused.message).toContain(field);
    await works(s);
    await s.create('nil', { args: ['true'] });
    await s.delete('nil');
  }));

test.each([
  [{}],
  [{ CommandArgs: [] }],
  [{ CommandLine: '  ' }],
  [{ CommandArgs: [''] }],
])('ExecuteProcess in the VM with no command (%j): an error, not a dead agent', (parameters) =>
  withSession(async (s) => {
    const refused = await failure(s.execInUvm(parameters));
    expect(refused.message).toContain('Command');
    await works(s);
  }));

test('ExecuteProcess in the VM of a program that is not there says so in known words', () =>
  withSession(async (s) => {
    const refused = await failure(s.execInUvm({ CommandArgs: ['/no/such'] }));
    expect(refused).toEqual({
      hresult: '0x80004005',
      message:
        'failed to call Start for external process: fork/exec /no/such: no such file or directory',
    });
  }));

test('a second standalone container without a network namespace is created like the first', () =>
  withSession(async (s) => {
    for (const id of ['one', 'two', 'three']) await s.create(id, { args: ['true'] });
    for (const id of ['one', 'two', 'three']) await s.delete(id);
  }));

test('delete of a running container: an error, and it stays known', () =>
  withSession(async (s) => {
    await s.create('busy', { args: ['sleep', '1000'] });
    const init = await s.startInit('busy');
    const refused = await failure(s.delete('busy'));
    expect(refused.hresult).toBe('0x80370105');
    expect(refused.message).toContain('not stopped');
    const inside = await s.sh('busy', 'echo still here');
    expect((await s.finish('busy', inside)).stdout).toBe('still here\n');
    await s.killAndDelete('busy', init);
  }));

test('a container that was created and never started is deleted, and its end is told once', () =>
  withSession(async (s) => {
    await s.create('unused', { args: ['true'] });
    await s.delete('unused');
    expect((await s.notification('unused')).body.ContainerId).toBe('unused');
    await s.create('unused', { args: ['true'] });
    await s.delete('unused');
  }));

test('a delete answers who still waits, then tells the end, then replies: the id can be used at once', () =>
  withSession(async (s) => {
    await s.create('order', { args: ['true'] });
    const { ProcessList } = (await s.properties('order', ['ProcessList'])) as {
      ProcessList: { ProcessId: number }[];
    };
    const before = s.bridge.received.length;
    const waiting = s.wait('order', ProcessList[0]?.ProcessId ?? 0);
    await s.delete('order');
    expect(await waiting).toBe(137);
    const reply = (type: number) => ((type & 0x0fffffff) | 0x20000000) >>> 0;
    expect(s.bridge.received.slice(before).map((message) => message.type)).toEqual([
      reply(RAW.waitForProcess),
      RAW.notification,
      reply(RAW.deleteContainerState),
    ]);
  }));

test('ExecuteProcess of init twice: an error, and the first start is untouched', () =>
  withSession(async (s) => {
    await s.create('twice', { args: ['cat'] });
    const init = await s.startInit('twice', { stdin: true, stdout: true });
    const refused = await failure(s.startInit('twice'));
    expect(refused).toEqual({
      hresult: '0x80004005',
      message: 'runc start failed with exit status 1: cannot start an already running container',
    });
    const list = await s.properties('twice', ['ProcessList']);
    expect(list.ProcessList).toEqual([{ ProcessId: init.pid }]);
    init.stdin?.end('echo');
    expect(await s.finish('twice', init)).toMatchObject({ exitCode: 0, stdout: 'echo' });
    await s.delete('twice');
  }));

test('processes of the VM can be signalled and resized', () =>
  withSession(async (s) => {
    const sleeper = await s.execInUvm({ CommandArgs: ['sleep', '1000'] });
    await s.signal(NULL_CONTAINER, sleeper.pid, 15);
    expect((await s.finish(NULL_CONTAINER, sleeper)).exitCode).toBe(143);
    const tty = await s.execInUvm(
      {
        CommandArgs: ['sh', '-c', 'read x; stty size'],
        EmulateConsole: true,
        Environment: { PATH: '/usr/bin:/bin' },
      },
      { stdin: true, stdout: true },
    );
    await s.call(RAW.resizeConsole, {
      ContainerId: NULL_CONTAINER,
      ProcessId: tty.pid,
      Height: 33,
      Width: 77,
    });
    tty.stdin?.write('\n');
    expect((await s.finish(NULL_CONTAINER, tty)).stdout).toContain('33 77');
  }));

test('a failed create leaves nothing behind, and the id is free again', () =>
  withSession(async (s) => {
    for (const args of [['/no/such'], ['/etc/passwd']]) {
      const refused = await failure(s.create('fails', { args }));
      expect(refused.hresult).toBe('0x80004005');
      expect(refused.message).toMatch(/^failed to .*fails with exit status 1: /);
      expect(refused.message).toContain(args[0]);
    }
    expect(await s.uvmSh(`ls -A /run/gcsrunc /run/gcs/c 2>/dev/null; true`)).not.toContain('fails');
    await s.create('fails', { args: ['true'] });
    await s.delete('fails');
  }));

test('a failed exec leaves nothing behind and says what failed', () =>
  withSession(async (s) => {
    await s.create('exec', { args: ['sleep', '1000'] });
    const init = await s.startInit('exec');
    const before = await s.uvmSh('ls -AR /run/gcsrunc');
    for (let i = 0; i < 3; i++) {
      const refused = await failure(s.exec('exec', { args: ['/no/such'], cwd: '/' }));
      expect(refused.hresult).toBe('0x80004005');
      expect(refused.message).toContain(
        'failed to run runc create/exec call for container exec with exit status 255',
      );
      expect(refused.message).toContain('stat /no/such: no such file or directory');
    }
    expect(await s.uvmSh('ls -AR /run/gcsrunc')).toBe(before);
    await s.killAndDelete('exec', init);
  }));

test('nobody waits on init: the exit is told all the same, once', () =>
  withSession(async (s) => {
    await s.create('alone', { args: ['true'] });
    await s.startInit('alone', {});
    await s.notification('alone');
    await s.delete('alone');
    await works(s);
    expect(s.bridge.notifications).toHaveLength(1);
  }));

test('the host closes stdout early: the process gets SIGPIPE, it does not hang', () =>
  withSession(async (s) => {
    await s.create('pipe', { args: ['sleep', '1000'] });
    const init = await s.startInit('pipe');
    const process = await s.sh('pipe', 'exec yes', { stdout: true });
    await firstData(process.stdout);
    process.stdout?.destroy();
    expect(await s.wait('pipe', process.pid)).toBe(128 + 13);
    await s.killAndDelete('pipe', init);
  }));

test('the host closes stdout of init early: it gets EPIPE, as SIGPIPE does not reach a PID 1', () =>
  withSession(async (s) => {
    await s.create('pipe', { args: ['yes'] });
    const init = await s.startInit('pipe', { stdout: true });
    await firstData(init.stdout);
    init.stdout?.destroy();
    expect(await s.wait('pipe', init.pid)).toBe(1);
    await s.delete('pipe');
  }));

test('a silent process whose stdout the host closed gets SIGPIPE when it writes', () =>
  withSession(async (s) => {
    await s.create('mute', { args: ['sleep', '1000'] });
    const init = await s.startInit('mute');
    const process = await s.sh('mute', 'read x; exec yes', { stdin: true, stdout: true });
    process.stdout?.destroy();
    process.stdin?.write('\n');
    expect(await s.wait('mute', process.pid)).toBe(128 + 13);
    process.stdin?.destroy();
    await s.killAndDelete('mute', init);
  }));

test('a background child that holds stdout does not hold up the wait', () =>
  withSession(async (s) => {
    await s.create('bg', { args: ['sleep', '1000'] });
    const init = await s.startInit('bg');
    const process = await s.sh('bg', 'sleep 1000 & echo mine; exit 3', { stdout: true });
    const output = new OutputSoFar(process.stdout);
    expect(await s.wait('bg', process.pid)).toBe(3);
    expect(output.text).toBe('mine\n');
    await s.killAndDelete('bg', init);
  }));

test('an exec that ended and was not waited for keeps its code', () =>
  withSession(async (s) => {
    await s.create('late', { args: ['sleep', '1000'] });
    const init = await s.startInit('late');
    const process = await s.sh('late', 'exit 11', { stdout: true });
    await readAll(process.stdout);
    expect(await s.wait('late', process.pid)).toBe(11);
    await s.killAndDelete('late', init);
  }));

test.each([0, -3, 65, 200])('signal number %i is judged before it is sent', (signal) =>
  withSession(async (s) => {
    await s.create('num', { args: ['sleep', '1000'] });
    const init = await s.startInit('num');
    if (signal === 0) {
      await s.signal('num', init.pid, 0);
      expect((await s.finish('num', init)).exitCode).toBe(137);
      await s.delete('num');
      return;
    }
    const refused = await failure(s.signal('num', init.pid, signal));
    expect(refused.hresult).toBe('0x80070057');
    expect(refused.message).toContain('Signal');
    await s.killAndDelete('num', init);
  }));

test.each([
  '../x',
  '.',
  '..',
  'a/b',
  '',
  'a\u0000b',
  'x'.repeat(2000),
])('container id %j never becomes a path', (id) =>
  withSession(async (s) => {
    const refused = await failure(s.create(id, { args: ['true'] }));
    expect(['0x80070057', '0xc037010d']).toContain(refused.hresult);
    await works(s);
  }));

test('a bundle path among the files of the machine: refused by name, nothing replaced or removed', () =>
  withSession(async (s) => {
    // A directory with files a container has of its own too, as /etc has them.
    const made = await s.uvmSh(
      'd=$(mktemp -d) && cd $d && for f in hosts hostname resolv.conf config.json; do echo precious >$f; done; echo $d',
    );
    const directory = made.trim();
    for (const path of [directory, `${directory}/`, '/etc', '/', '/run/gcs/c/../../../etc']) {
      const config = {
        SchemaVersion: { Major: 2, Minor: 1 },
        OciBundlePath: path,
        OciSpecification: spec({ args: ['true'] }),
      };
      const body = { ContainerId: 'hostile', ContainerConfig: JSON.stringify(config) };
      const refused = await failure(s.call(RAW.create, body));
      expect(refused.hresult, path).not.toBe('0x0');
    }
    expect(await s.uvmSh(`cd ${directory} && ls -A && cat *; rm -r ${directory}`)).toBe(
      `config.json\nhostname\nhosts\nresolv.conf\n${'precious\n'.repeat(4)}`,
    );
  }));

test('pids are not recycled under a host: a signal to an ended exec never reaches another', () =>
  withSession(async (s) => {
    await s.create('reuse', { args: ['sleep', '1000'] });
    const init = await s.startInit('reuse');
    const process = await s.exec('reuse', shellProcess('exit 0'), {});
    // Its end is seen by the process list, which no longer shows it as running.
    expect(await s.wait('reuse', process.pid)).toBe(0);
    const refused = await failure(s.signal('reuse', process.pid, 9));
    expect(refused.hresult).toBe('0x80070490');
    await s.killAndDelete('reuse', init);
  }));

test('DumpStacks with many containers stays below what a host accepts', () =>
  withSession(async (s) => {
    const ids = Array.from({ length: 12 }, (_, i) => `many-${i}`);
    for (const id of ids) await s.create(id, { args: ['true'] });
    const { body, text } = await s.call(RAW.dumpStacks, { ContainerId: NULL_CONTAINER });
    expect(Buffer.byteLength(text) + 16).toBeLessThanOrEqual(65_536);
    for (const id of ids) expect(body.GuestStacks).toContain(`container ${id} created`);
    for (const id of ids) await s.delete(id);
  }));

test('a faulty request of 40 kB is quoted in part: the reply stays below what a host accepts', () =>
  withSession(async (s) => {
    const reply = await s.raw.bridge.request(RAW.modifySettings, {
      ContainerId: NULL_CONTAINER,
      Request: { ResourceType: 'Nonsense', Settings: { filler: 'x'.repeat(40_000) } },
    });
    expect(Buffer.byteLength(reply.text) + 16).toBeLessThanOrEqual(65_536);
    expect(reply.body.Result).toBe(0x80004005 | 0);
    expect(reply.body.ErrorMessage).toContain("invalid ResourceType 'Nonsense'");
    await works(s);
  }));

testOutsideVm(
  'there a shutdown ends the VM: test/vm/power.test.ts',
  'a shutdown of the VM outside a VM ends the agent and nothing else',
  async () => {
    const { startRawAgent } = await import('../support/agent-process.ts');
    await using raw = await startRawAgent();
    raw.bridge.request(RAW.shutdownForced, { ContainerId: NULL_CONTAINER }).catch(() => {});
    expect(await raw.agent.exited).toEqual({ code: 0, signal: null });
  },
);
