import { chmodSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AgentErrorCode } from '../../src/errors.ts';
import type { LifecycleEvent } from '../../src/uvm/management.ts';
import { oneRuntime } from '../../src/uvm/runtime-catalogue.ts';
import { readToEnd, readUntil, streams, useVmLab } from '../support/vm-lab.ts';

const suite = useVmLab();

async function refusal(code: AgentErrorCode, work: Promise<unknown>, message = /./) {
  await expect(work).rejects.toMatchObject({ name: 'AgentError', code });
  await expect(work).rejects.toThrow(message);
}

function sh(script: string, more: object = {}) {
  return { args: ['sh', '-c', script], env: ['PATH=/bin'], cwd: '/', ...more };
}

test('an exec has the name its caller gives it, until it is deleted', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: 'exec sleep 1000' });
  const seen: LifecycleEvent[] = [];
  management.subscribe(undefined, (event) => seen.push(event));
  const { connections, clients } = streams('stdin', 'stdout', 'stderr');
  const started = await management.exec('c', {
    processId: 'my.exec-1_x',
    process: sh('read line; echo "out $line"; echo err >&2; exit 5'),
    streams: connections,
  });
  expect(started).toMatchObject({ processId: 'my.exec-1_x', status: 'running', terminal: false });
  expect(started.startTime).toBeGreaterThan(0);
  expect(started.spec?.args?.[2]).toContain('read line');
  await refusal(
    'process-exists',
    management.exec('c', { processId: 'my.exec-1_x', process: sh('true') }),
  );
  await refusal('process-not-exited', management.exitStatus('c', 'my.exec-1_x'));
  await refusal('process-not-exited', management.deleteProcess('c', 'my.exec-1_x'));
  clients.stdin?.end('hello\n');
  expect(await readToEnd(clients.stdout)).toBe('out hello\n');
  expect(await readToEnd(clients.stderr)).toBe('err\n');
  expect(await management.waitProcess('c', 'my.exec-1_x')).toMatchObject({ exitCode: 5 });
  expect(await management.exitStatus('c', 'my.exec-1_x')).toMatchObject({ exitCode: 5 });
  const ended = await management.processState('c', 'my.exec-1_x');
  expect(ended).toMatchObject({ status: 'stopped', pid: started.pid, exit: { exitCode: 5 } });
  expect(ended.streams.stdout).toEqual({ bytes: 10, outcome: 'drained' });
  expect(seen).toMatchObject([
    { kind: 'exec', processId: 'my.exec-1_x', pid: started.pid },
    { kind: 'exit', processId: 'my.exec-1_x', pid: started.pid, exitCode: 5 },
  ]);
  await management.deleteProcess('c', 'my.exec-1_x');
  await refusal('process-not-found', management.processState('c', 'my.exec-1_x'));
  await management.exec('c', { processId: 'my.exec-1_x', process: sh('true') });
  await management.waitProcess('c', 'my.exec-1_x');
});

test.each([
  '',
  'init',
  'a/b',
  'a b',
  'pid:1',
  'x'.repeat(129),
  'ä',
])('a name that cannot be is refused: %j', async (processId) => {
  await suite.lab.run('c', { args: 'exec sleep 1000' });
  const exec = suite.lab.management.exec('c', { processId, process: sh('true') });
  await refusal('invalid-argument', exec, /processId/);
});

test('what an exec does not say is as in the container', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', {
    args: 'exec sleep 1000',
    env: ['MARK=here'],
    cwd: '/home/tester',
    user: { uid: 1000, gid: 1000 },
  });
  const { connections, clients } = streams('stdout');
  const process = { args: ['sh', '-c', 'echo $MARK $PWD $(id -u)'] };
  await management.exec('c', { processId: 'x', process, streams: connections });
  expect(await readToEnd(clients.stdout)).toBe('here /home/tester 1000\n');
});

test("an exec that fails has the runtime's words, and its name is free again", async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: 'exec sleep 1000' });
  const wrong = () => management.exec('c', { processId: 'x', process: { args: ['/no/such'] } });
  await refusal('failed', wrong(), /exec: "\/no\/such": stat \/no\/such: no such file/);
  await refusal('failed', wrong(), /no such file/);
  await management.exec('c', { processId: 'x', process: sh('true') });
  expect(await management.waitProcess('c', 'x')).toMatchObject({ exitCode: 0 });
  await refusal('invalid-argument', management.exec('c', { processId: 'y', process: {} }), /args/);
});

test('a terminal has a size, one output, and answers', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: 'exec sleep 1000' });
  const { connections, clients } = streams('stdin', 'stdout');
  const process = sh('stty size; read x; stty size; echo "got $x"', {
    terminal: true,
    consoleSize: { width: 71, height: 17 },
  });
  await management.exec('c', { processId: 't', process, streams: connections });
  await readUntil(clients.stdout, '17 71');
  await management.resize('c', 't', { width: 99, height: 33 });
  await refusal('invalid-argument', management.resize('c', 't', { width: -1, height: 3 }), /width/);
  await refusal('not-a-terminal', management.resize('c', 'init', { width: 9, height: 3 }));
  clients.stdin?.write('word\n');
  expect(await readUntil(clients.stdout, 'got word')).toContain('33 99');
  expect(await management.waitProcess('c', 't')).toMatchObject({ exitCode: 0 });
  clients.stdin?.destroy();
  clients.stdout?.destroy();
});

test('stdin can be closed for a client that only half has', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: 'exec sleep 1000' });
  const { connections, clients } = streams('stdin', 'stdout');
  await management.exec('c', {
    processId: 'x',
    process: sh('cat; echo end'),
    streams: connections,
  });
  clients.stdin?.write('before ');
  await readUntil(clients.stdout, 'before ');
  await management.closeStdin('c', 'x');
  await management.closeStdin('c', 'x');
  expect(await readToEnd(clients.stdout)).toBe('end\n');
  expect(await management.waitProcess('c', 'x')).toMatchObject({ exitCode: 0 });
  await management.closeStdin('c', 'x');
  clients.stdin?.destroy();
});

test('a signal reaches one process alone', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: 'exec sleep 1000' });
  for (const processId of ['a', 'b']) {
    await management.exec('c', { processId, process: sh('exec sleep 1000') });
  }
  await management.signal('c', { processId: 'a', signal: 'KILL' });
  const exit = await management.waitProcess('c', 'a');
  expect(exit).toMatchObject({ exitCode: 137, signal: 9, reason: 'ended by SIGKILL' });
  await refusal('process-not-found', management.signal('c', { processId: 'a' }), /has ended/);
  expect((await management.processState('c', 'b')).status).toBe('running');
  expect((await management.state('c')).status).toBe('running');
});

test('any number of processes at one time, each with its own end', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: 'exec sleep 1000' });
  const ids = Array.from({ length: 20 }, (_, n) => `p${n}`);
  await Promise.all(
    ids.map((processId, n) => management.exec('c', { processId, process: sh(`exit ${n}`) })),
  );
  const exits = await Promise.all(ids.map((id) => management.waitProcess('c', id)));
  expect(exits.map(({ exitCode }) => exitCode)).toEqual(ids.map((_, n) => n));
  expect(await management.listProcesses('c')).toHaveLength(21);
  const families = await management.metrics();
  const times = families.find(({ name }) => name === 'gcs_exec_duration_seconds');
  expect(times).toMatchObject({ type: 'histogram', count: 20 });
});

test('clients come and go at a process that was started without streams', async () => {
  const { management } = suite.lab;
  const script =
    'while read line; do echo "got $line"; echo "err $line" >&2; done; echo over; exit 4';
  await management.create({ id: 'c', spec: suite.lab.spec({ args: script }), openStdin: true });
  await management.start('c');
  const first = streams('stdin', 'stdout', 'stderr');
  await management.attach('c', 'init', first.connections);
  first.clients.stdin?.write('one\n');
  await readUntil(first.clients.stdout, 'got one\n');
  await readUntil(first.clients.stderr, 'err one\n');
  const second = streams('stdin', 'stdout');
  await management.attach('c', 'init', second.connections);
  second.clients.stdin?.end('two\n');
  await Promise.all([first, second].map(({ clients }) => readUntil(clients.stdout, 'got two\n')));
  for (const stream of Object.values(first.clients)) stream?.destroy();
  const third = streams('stdin', 'stdout');
  await management.attach('c', 'init', third.connections);
  third.clients.stdin?.write('three\n');
  await readUntil(third.clients.stdout, 'got three\n');
  await management.closeStdin('c', 'init');
  expect(await readToEnd(third.clients.stdout)).toBe('over\n');
  expect(await management.wait('c')).toMatchObject({ exitCode: 4 });
  for (const { clients } of [second, third])
    for (const stream of Object.values(clients)) stream?.destroy();
});

test('a process without streams that nobody attaches to is not held up', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: 'dd if=/dev/zero bs=1M count=20 2>/dev/null; exit 6' });
  expect(await management.wait('c')).toMatchObject({ exitCode: 6 });
});

test('clients attach to the terminal of an exec', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: 'exec sleep 1000' });
  const process = sh('read x; echo "got $x"; exit 3', { terminal: true });
  await management.exec('c', { processId: 't', process });
  const { connections, clients } = streams('stdin', 'stdout');
  await management.attach('c', 't', connections);
  clients.stdin?.write('word\n');
  await readUntil(clients.stdout, 'got word');
  expect(await management.waitProcess('c', 't')).toMatchObject({ exitCode: 3 });
  for (const stream of Object.values(clients)) stream?.destroy();
});

/** A runtime that hangs in one of its commands, as one whose kernel does. */
function hangingIn(command: string): string {
  const script = join(suite.lab.directory, `hangs-in-${command}`);
  const hang = `for a; do [ "$a" = ${command} ] && : >${script}.hangs && exec sleep 1000; done`;
  writeFileSync(script, `#!/bin/sh\n${hang}\nexec runc "$@"\n`);
  chmodSync(script, 0o755);
  rmSync(`${script}.hangs`, { force: true });
  return script;
}

test('an exec that hangs is killed when its time is up, or its caller gives up', async () => {
  const { lab } = suite;
  await lab.open(oneRuntime(lab.runtime({ program: hangingIn('exec') })));
  await lab.run('c', { args: 'exec sleep 1000' });
  const request = { processId: 'x', process: sh('true') };
  await refusal('start-timeout', lab.management.exec('c', { ...request, timeoutMs: 50 }), /50 ms/);
  const controller = new AbortController();
  const given = lab.management.exec('c', request, { signal: controller.signal });
  controller.abort();
  await refusal('cancelled', given);
  expect(await lab.management.listProcesses('c')).toHaveLength(1);
  expect(await lab.management.execSync('c', { args: ['true'], timeoutMs: 50 })).toMatchObject({
    timedOut: true,
    exitCode: 137,
  });
});

test('an exec of the bridge that hangs does not hold up the end of the agent', async () => {
  const { lab } = suite;
  await lab.open(oneRuntime(lab.runtime({ program: hangingIn('exec') })));
  await lab.run('c', { args: 'exec sleep 1000' });
  const hung = lab.uvm.exec('c', sh('true'), {});
  const refused = refusal('cancelled', hung, /agent is ending/);
  await expect.poll(() => existsSync(join(lab.directory, 'hangs-in-exec.hangs'))).toBe(true);
  await lab.uvm.destroy();
  await refused;
});

test('a start that hangs is killed, and so is what it may have started', async () => {
  const { lab } = suite;
  await lab.open(oneRuntime(lab.runtime({ program: hangingIn('start') })));
  await lab.management.create({ id: 'c', spec: lab.spec({ args: 'exec sleep 1000' }) });
  await refusal('start-timeout', lab.management.start('c', { timeoutMs: 50 }));
  expect(await lab.management.wait('c')).toMatchObject({ exitCode: 137 });
  await lab.management.delete('c');
});
