import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AgentErrorCode } from '../../src/errors.ts';
import type { CreateRequest, LifecycleEvent } from '../../src/uvm/management.ts';
import { makeRootfs } from '../support/rootfs.ts';
import { connection, readToEnd, readUntil, streams, useVmLab } from '../support/vm-lab.ts';

const suite = useVmLab();
const MiB = 1024 * 1024;

async function refusal(code: AgentErrorCode, work: Promise<unknown>, message = /./) {
  await expect(work).rejects.toMatchObject({ name: 'AgentError', code });
  await expect(work).rejects.toThrow(message);
}

function events(): LifecycleEvent[] {
  const seen: LifecycleEvent[] = [];
  const { management } = suite.lab;
  management.subscribe(undefined, (event) => seen.push(event));
  return seen;
}

/** A script that says when it runs, and what it gets of a signal. */
const obedient = 'trap "echo got; exit 7" TERM; echo up; while :; do sleep 0.05; done';
const deaf = 'trap "" TERM; echo up; while :; do sleep 0.05; done';

test('a container passes through its states, and each of them is told', async () => {
  const { management, lab } = { ...suite.lab, lab: suite.lab, management: suite.lab.management };
  const seen = events();
  const spec = lab.spec({ args: 'read line; exit 42', annotations: { 'my.key': 'value' } });
  const created = await management.create({ id: 'c', spec });
  expect(created).toMatchObject({
    id: 'c',
    status: 'created',
    pid: expect.any(Number),
    bundle: join(lab.directory, 'bundles/c'),
    runtime: 'runc',
    terminal: false,
    annotations: { 'my.key': 'value' },
  });
  expect(created.startTime).toBeGreaterThan(0);
  expect(created.startedAt).toBeUndefined();
  expect((await management.processState('c', 'init')).status).toBe('starting');

  const { connections, clients } = streams('stdin');
  const started = await management.start('c', { streams: connections });
  expect(started).toMatchObject({ status: 'running', pid: created.pid });
  expect(started.startedAt).toBeGreaterThanOrEqual(created.createdAt);
  expect(await management.list()).toEqual([started]);
  await refusal('process-not-exited', management.exitStatus('c', 'init'));

  const [early, alsoEarly] = [management.wait('c'), management.waitProcess('c', 'init')];
  clients.stdin?.end('go\n');
  const exit = await early;
  expect(exit).toEqual({ exitCode: 42, finishedAt: expect.any(Number), oomKilled: false });
  expect(await alsoEarly).toEqual(exit);
  expect(await management.wait('c')).toEqual(exit);
  expect(await management.exitStatus('c', 'init')).toEqual(exit);
  expect(await management.state('c')).toMatchObject({ status: 'stopped', pid: 0, exit });

  await management.delete('c');
  await refusal('container-not-found', management.state('c'));
  await refusal('container-not-found', management.wait('c'));
  expect(await management.list()).toEqual([]);
  expect(seen.map(({ sequence, kind, exitCode }) => [sequence, kind, exitCode])).toEqual([
    [1, 'create', undefined],
    [2, 'start', undefined],
    [3, 'exit', 42],
    [4, 'delete', undefined],
  ]);
});

/** A bundle of somebody else's, whose hooks write what they are told of the container to files named after them. */
function hookedBundle(name: string) {
  const { directory } = suite.lab;
  const bundle = join(directory, name);
  makeRootfs(join(bundle, 'rootfs'));
  const hook = (event: string) => [
    { path: '/bin/sh', args: ['sh', '-c', `cat > ${join(directory, `${name}.${event}`)}`] },
  ];
  const hooks = { createRuntime: hook('createRuntime'), poststop: hook('poststop') };
  const spec = suite.lab.spec({ args: 'exec sleep 1000' });
  const text = JSON.stringify({ ...spec, hooks, root: { path: 'rootfs' } });
  writeFileSync(join(bundle, 'config.json'), text);
  const told = (event: string): unknown =>
    JSON.parse(readFileSync(join(directory, `${name}.${event}`), 'utf8')).bundle;
  return { bundle, text, told };
}

test('hooks of a verbatim container are told its maker’s bundle, which stays as it is', async () => {
  const { management, directory } = suite.lab;
  const { bundle, text, told } = hookedBundle('maker');
  const link = join(directory, 'link');
  symlinkSync(bundle, link);
  for (const path of [bundle, link]) {
    expect(await management.create({ id: 'c', bundle: path, verbatim: true })).toMatchObject({
      bundle: path,
    });
    expect(told('createRuntime')).toBe(bundle);
    await management.start('c');
    expect((await management.execSync('c', { args: ['true'] })).exitCode).toBe(0);
    expect(readFileSync(join(bundle, 'config.json'), 'utf8')).toBe(text);
    expect(readdirSync(bundle).sort()).toEqual(['config.json', 'rootfs']);
    // Nothing of it is needed any more.
    renameSync(join(bundle, 'config.json'), join(directory, 'config.json'));
    expect((await management.execSync('c', { args: ['true'] })).exitCode).toBe(0);
    await management.delete('c', { force: true });
    expect(told('poststop')).toBe(bundle);
    expect(readdirSync(bundle)).toEqual(['rootfs']);
    renameSync(join(directory, 'config.json'), join(bundle, 'config.json'));
  }
});

test('where the request changes the spec, hooks are told of the bundle that has the changed one', async () => {
  const { management, directory } = suite.lab;
  const { bundle, told } = hookedBundle('changed');
  const annotations = { more: 'yes' };
  await management.create({ id: 'c', bundle, verbatim: true, annotations });
  expect(told('createRuntime')).toBe(join(directory, 'bundles/c'));
  await management.delete('c', { force: true });
});

test('a bundle that cannot be the runtime’s is refused, and nothing of it is left', async () => {
  const { management, directory } = suite.lab;
  const { bundle } = hookedBundle('refused');
  await management.create({ id: 'c', bundle, verbatim: true });
  await refusal('container-exists', management.create({ id: 'c', bundle, verbatim: true }));
  for (const path of ['relative', '/../etc', join(directory, 'nowhere'), `${bundle}/config.json`]) {
    await refusal(
      'invalid-argument',
      management.create({ id: 'd', bundle: path, verbatim: true }),
      /bundle/,
    );
  }
  await management.delete('c', { force: true });
  expect(readdirSync(bundle).sort()).toEqual(['config.json', 'rootfs']);
});

test('inspect has the spec, the mounts, the cgroup and the processes', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: 'sleep 1000' });
  await management.exec('c', {
    processId: 'side',
    process: { args: ['sleep', '999'], env: ['PATH=/bin'], cwd: '/tmp' },
  });
  const inspected = await management.inspect('c');
  expect(inspected.spec.process?.args).toEqual(['sh', '-c', 'sleep 1000']);
  expect(inspected.mounts.map(({ destination }) => destination)).toContain('/proc');
  expect(inspected.cgroup?.controllers.memory ?? inspected.cgroup?.unified).toMatch(/\/pods\/c$/);
  expect(inspected.processes.map(({ processId, status }) => [processId, status])).toEqual([
    ['init', 'running'],
    ['side', 'running'],
  ]);
  const rows = await management.processes('c');
  expect(rows.find(({ processId }) => processId === 'side')).toMatchObject({ zombie: false });
  // An exec is answered when it is there, and it may be the runtime's own program for a moment more.
  const commands = async () =>
    (await management.processes('c')).map(({ commandLine }) => commandLine.join(' '));
  await expect.poll(commands).toContain('sleep 999');
  expect(rows.some(({ processId }) => processId === 'init')).toBe(true);
  await management.delete('c', { force: true });
});

test('a bundle that is there is used as it is: its spec, its relative root, its place in the state', async () => {
  const { management, directory } = suite.lab;
  const bundle = join(directory, 'theirs');
  const spec = suite.lab.spec({ args: 'exit 3' });
  makeRootfs(join(bundle, 'rootfs'));
  const text = JSON.stringify({ ...spec, root: { path: 'rootfs' } });
  writeFileSync(join(bundle, 'config.json'), text);
  const created = await management.create({ id: 'c', bundle, annotations: { more: 'yes' } });
  expect(created).toMatchObject({ bundle, annotations: { more: 'yes' } });
  await management.start('c');
  expect((await management.wait('c')).exitCode).toBe(3);
  await management.delete('c');
  expect(readFileSync(join(bundle, 'config.json'), 'utf8')).toBe(text);
  expect(readdirSync(bundle).sort()).toEqual(['config.json', 'rootfs']);
});

test.each([
  ['invalid-container-id', { id: '../c' }, /id/],
  ['invalid-argument', { id: 'c', bundle: 'relative' }, /bundle/],
  ['invalid-argument', { id: 'c', bundle: '/no/such' }, /bundle: \/no\/such\/config.json/],
  ['invalid-argument', { id: 'c' }, /spec/],
  ['invalid-argument', { id: 'c', bundle: '/tmp', runtime: 'nope' }, /runtime "nope"; known: runc/],
  ['invalid-argument', { id: 'c', spec: {}, stopSignal: 'SIGWHAT' }, /stopSignal/],
  ['invalid-argument', { id: 'c', spec: {}, rootfs: '../x' }, /rootfs/],
  ['invalid-argument', { id: 'c', spec: { process: 'x' }, terminal: true }, /spec.process/],
  ['invalid-argument', { id: 'c', spec: { root: { path: 5 } } }, /spec.root.path/],
  ['invalid-argument', { id: 'c', spec: { root: { path: 'rel' } } }, /spec.root.path/],
  ['invalid-argument', { id: 'c', spec: { annotations: [] } }, /spec.annotations/],
  ['invalid-argument', { id: 'c', spec: { mounts: ['x'] } }, /spec.mounts/],
  ['invalid-argument', { id: 'c', spec: { mounts: [{ source: 5 }] } }, /spec.mounts\[0\]/],
] as const)('a create that cannot be is refused: %s %j', async (code, request, message) => {
  await refusal(code, suite.lab.management.create(request as CreateRequest), message);
  expect(await suite.lab.management.list()).toEqual([]);
});

test("a create that the runtime refuses has the runtime's words and leaves nothing", async () => {
  const { management } = suite.lab;
  const spec = suite.lab.spec({ args: ['/no/such'] });
  await refusal('failed', management.create({ id: 'c', spec }), /stat \/no\/such: no such file/);
  const good = suite.lab.spec({ args: 'exit 0' });
  await management.create({ id: 'c', spec: good });
  await refusal('container-exists', management.create({ id: 'c', spec: good }));
});

test('streams are joined, and those of an operation that fails are closed', async () => {
  const { management } = suite.lab;
  const both = streams('stdin', 'stdout', 'stderr');
  const spec = suite.lab.spec({ args: 'cat; echo bad >&2' });
  await management.create({ id: 'c', spec });
  await management.start('c', { streams: both.connections });
  both.clients.stdin?.end('typed');
  expect(await readToEnd(both.clients.stdout)).toBe('typed');
  expect(await readToEnd(both.clients.stderr)).toBe('bad\n');
  expect((await management.wait('c')).exitCode).toBe(0);

  for (const attempt of [
    (given: object) => management.start('c', { streams: given }),
    (given: object) => management.start('nobody', { streams: given }),
    (given: object) =>
      management.exec('c', { processId: 'x', process: { args: ['true'] }, streams: given }),
    (given: object) =>
      management.exec('nobody', { processId: 'x', process: { args: ['true'] }, streams: given }),
    (given: object) => management.attach('c', 'init', given),
  ]) {
    const { connection: stdout, client } = connection();
    await expect(attempt({ stdout })).rejects.toMatchObject({ name: 'AgentError' });
    expect(await readToEnd(client)).toBe('');
  }
});

test('what cannot be started or given a process for its state is told that state', async () => {
  const { management } = suite.lab;
  const exec = () => management.exec('c', { processId: 'x', process: { args: ['true'] } });
  const command = () => management.execSync('c', { args: ['true'] });
  const spec = suite.lab.spec({ args: 'exec sleep 1000' });

  await management.create({ id: 'c', spec });
  await refusal('container-not-running', exec(), /^container c is created$/);
  await refusal('container-not-running', command(), /^container c is created$/);
  await management.start('c');
  await refusal('container-not-created', management.start('c'), /^container c is running$/);
  await management.pause('c');
  await refusal('container-not-created', management.start('c'), /^container c is paused$/);
  await refusal('container-paused', exec(), /^container c is paused$/);
  await refusal('container-paused', command(), /^container c is paused$/);
  await management.stop('c', { timeoutMs: 0 });
  await refusal('container-not-created', management.start('c'), /^container c is stopped$/);
  await refusal('container-not-running', exec(), /^container c is stopped$/);
  await refusal('container-not-running', command(), /^container c is stopped$/);
  await management.delete('c');
  for (const attempt of [management.start('c'), exec(), command()]) {
    await refusal('container-not-found', attempt, /^container c not found$/);
  }
});

test('what ended before it was started is told to be stopped', async () => {
  const { management } = suite.lab;
  await management.create({ id: 'c', spec: suite.lab.spec({ args: 'exec sleep 1000' }) });
  await management.signal('c', { signal: 'KILL' });
  await management.wait('c');
  await refusal('container-not-created', management.start('c'), /^container c is stopped$/);
});

test('a process that comes while its container is paused or stopped is told so', async () => {
  const { management } = suite.lab;
  const attempts = () => [
    management.exec('c', { processId: 'x', process: { args: ['true'] } }),
    management.execSync('c', { args: ['true'] }),
  ];
  await suite.lab.run('c', { args: 'exec sleep 1000' });
  const pausing = management.pause('c');
  const early = attempts();
  await Promise.allSettled([pausing, ...early]);
  for (const attempt of early)
    await refusal('container-paused', attempt, /^container c is paused$/);
  await management.resume('c');

  // Its end is known to nobody but the runtime yet.
  const { pid } = await management.state('c');
  process.kill(pid, 'SIGKILL');
  while (existsSync(`/proc/${pid}/root/bin`));
  const late = attempts();
  await Promise.allSettled(late);
  for (const attempt of late) {
    await refusal('container-not-running', attempt, /^container c is stopped$/);
  }
});

test('a paused container stands still, can be looked at, and runs on', async () => {
  const { management } = suite.lab;
  const seen = events();
  const { connections, clients } = streams('stdout');
  await suite.lab.run('c', { args: 'echo up; exec sleep 1000' }, connections);
  await readUntil(clients.stdout, 'up');
  await refusal('container-not-paused', management.resume('c'));
  expect(await management.pause('c')).toMatchObject({ status: 'paused' });
  expect((await management.list())[0]?.status).toBe('paused');
  expect(suite.lab.uvm.describe().join()).toContain('container c paused');
  await refusal('container-not-running', management.pause('c'));
  await refusal(
    'container-paused',
    management.exec('c', { processId: 'x', process: { args: ['true'] } }),
  );
  await refusal('container-paused', management.execSync('c', { args: ['true'] }));
  await refusal('container-not-stopped', management.delete('c'));
  await refusal('container-not-stopped', suite.lab.uvm.deleteContainer('c'));
  await management.stats('c');
  expect(await management.resume('c')).toMatchObject({ status: 'running' });
  expect((await management.execSync('c', { args: ['echo', 'again'] })).exitCode).toBe(0);
  expect(seen.map(({ kind }) => kind)).toEqual(['create', 'start', 'pause', 'resume']);
  await management.delete('c', { force: true });
  clients.stdout?.destroy();
});

test('a SIGKILL ends a paused container, whichever way it comes', async () => {
  const { management, uvm } = suite.lab;
  const ways: Record<string, (id: string) => Promise<unknown>> = {
    signal: (id) => management.signal(id, { signal: 'KILL' }),
    all: (id) => management.signal(id, { signal: 9, all: true }),
    stop: (id) => management.stop(id, { timeoutMs: 0 }),
    'gentle-stop': (id) => management.stop(id, { timeoutMs: 10 }),
    delete: (id) => management.delete(id, { force: true }),
    bridge: (id) => uvm.shutdownContainer(id, 'forced'),
  };
  for (const [id, kill] of Object.entries(ways)) {
    await suite.lab.run(id, { args: deaf });
    await management.pause(id);
    const ended = management.wait(id);
    await kill(id);
    expect(await ended, id).toMatchObject({ exitCode: 137, signal: 9 });
  }
});

test('the stop signal is enough for who obeys it', async () => {
  const { management } = suite.lab;
  const { connections, clients } = streams('stdout');
  await suite.lab.run('c', { args: obedient }, connections);
  await readUntil(clients.stdout, 'up');
  const stopped = await management.stop('c', { timeoutMs: 60_000 });
  expect(stopped).toMatchObject({ status: 'stopped', exit: { exitCode: 7 } });
  expect(await management.stop('c')).toEqual(stopped);
  clients.stdout?.destroy();
});

test('a paused container is resumed for its stop signal', async () => {
  const { management } = suite.lab;
  const { connections, clients } = streams('stdout');
  await suite.lab.run('c', { args: obedient }, connections);
  await readUntil(clients.stdout, 'up');
  await management.pause('c');
  const stopped = await management.stop('c', { timeoutMs: 60_000 });
  expect(stopped.exit?.exitCode).toBe(7);
  clients.stdout?.destroy();
});

test("the image's stop signal is sent in place of SIGTERM", async () => {
  const { management } = suite.lab;
  const { connections, clients } = streams('stdout');
  const script = 'trap "exit 9" USR1; trap "" TERM; echo up; while :; do sleep 0.05; done';
  await management.create({
    id: 'c',
    spec: suite.lab.spec({ args: script }),
    stopSignal: 'SIGUSR1',
  });
  await management.start('c', { streams: connections });
  await readUntil(clients.stdout, 'up');
  expect((await management.stop('c', { timeoutMs: 60_000 })).exit?.exitCode).toBe(9);
  clients.stdout?.destroy();
});

test('who does not obey is killed with all that is in it; stops at one time are one, with the shortest time', async () => {
  const { management } = suite.lab;
  const { connections, clients } = streams('stdout');
  await suite.lab.run('c', { args: deaf }, connections);
  await readUntil(clients.stdout, 'up');
  const gaveUp = new AbortController();
  const patient = management.stop('c', { timeoutMs: 3_600_000 });
  const cancelled = management.stop('c', { timeoutMs: 3_600_000, signal: gaveUp.signal });
  gaveUp.abort();
  await refusal('cancelled', cancelled);
  expect((await management.state('c')).status).toBe('running');
  const hasty = await management.stop('c', { timeoutMs: 100 });
  expect(hasty).toMatchObject({ status: 'stopped', exit: { exitCode: 137, signal: 9 } });
  expect(await patient).toEqual(hasty);
  clients.stdout?.destroy();
});

test('a container that was never started is stopped at once', async () => {
  const { management } = suite.lab;
  await management.create({ id: 'c', spec: suite.lab.spec({ args: 'exit 0' }) });
  expect(await management.stop('c')).toMatchObject({ status: 'stopped' });
  await management.delete('c');
});

test('a signal reaches init, or every process', async () => {
  const { management } = suite.lab;
  const { connections, clients } = streams('stdout');
  const child = 'trap "echo child; exit 0" USR1; echo up; while :; do sleep 0.05; done';
  const init = `(${child}) & trap "echo init" USR1; echo up; while :; do wait; done`;
  await suite.lab.run('c', { args: init }, connections);
  await readUntil(clients.stdout, 'up\nup\n');
  expect(await management.signal('c', { signal: 'USR1' })).toEqual({ signalled: 1, failed: [] });
  expect(await readUntil(clients.stdout, 'init\n')).toBe('init\n');
  const all = await management.signal('c', { signal: 'SIGUSR1', all: true });
  expect(all.failed).toEqual([]);
  expect(all.signalled).toBeGreaterThanOrEqual(2);
  await readUntil(clients.stdout, 'child');
  await refusal('invalid-argument', management.signal('c', { signal: 99 }), /signal/);
  await refusal('invalid-argument', management.signal('c', { signal: 'NOPE' }), /signal/);
  await refusal('process-not-found', management.signal('c', { processId: 'nobody' }));
  await management.stop('c', { timeoutMs: 0 });
  await refusal('container-not-running', management.signal('c'));
  await refusal('container-not-running', management.signal('c', { all: true }));
  clients.stdout?.destroy();
});

test('a signal to all leaves a paused container paused', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: deaf });
  await management.pause('c');
  await management.signal('c', { signal: 'USR2', all: true });
  expect((await management.state('c')).status).toBe('paused');
  const state = readFileSync(`/proc/${(await management.state('c')).pid}/status`, 'utf8');
  expect(state).toMatch(/State:\s+D/);
  await management.delete('c', { force: true });
});

test('a wait can be given up, by its time or its caller, and asked again', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: deaf });
  await refusal('wait-timeout', management.wait('c', { timeoutMs: 10 }));
  const controller = new AbortController();
  const given = management.wait('c', { signal: controller.signal });
  controller.abort();
  await refusal('cancelled', given);
  const waits = Array.from({ length: 50 }, () => management.wait('c'));
  await management.stop('c', { timeoutMs: 0 });
  const exits = await Promise.all(waits);
  expect(new Set(exits.map(({ exitCode }) => exitCode))).toEqual(new Set([137]));
});

test('who waits when the container is deleted gets its end', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: deaf });
  const waiting = management.wait('c');
  await management.delete('c', { force: true });
  expect(await waiting).toMatchObject({ exitCode: 137 });
});

test('limits can be changed while it runs', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: deaf, resources: { memory: { limit: 64 * MiB } } });
  const limit = async () => (await management.stats('c')).metrics.memory?.usage?.limit;
  expect(await limit()).toBe(BigInt(64 * MiB));
  await management.update('c', { memory: { limit: 96 * MiB } });
  expect(await limit()).toBe(BigInt(96 * MiB));
  await management.stop('c', { timeoutMs: 0 });
  await refusal('container-not-running', management.update('c', { memory: {} }));
});

test('stats have the cgroup and the network of the container', async () => {
  const { management } = suite.lab;
  const { connections, clients } = streams('stdout');
  const script = 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo up; sleep 1000';
  await suite.lab.run('c', { args: script }, connections);
  await readUntil(clients.stdout, 'up');
  const stats = await management.stats('c');
  expect(stats).toMatchObject({ id: 'c', at: expect.any(Number), oomKills: 0, network: [] });
  expect(stats.metrics.cpu?.usage?.total).toBeGreaterThan(0n);
  expect(stats.metrics.pids?.current).toBeGreaterThan(0n);
  await management.delete('c', { force: true });
  await refusal('container-not-found', management.stats('c'));
  clients.stdout?.destroy();
});

test('out of memory is told as it happens, and as the reason of the end', async () => {
  const { management } = suite.lab;
  const seen = events();
  const memory = { limit: 16 * MiB, swap: 16 * MiB };
  await suite.lab.run('greedy', { args: 'exec tail /dev/zero', resources: { memory } });
  const exit = await management.wait('greedy');
  expect(exit).toMatchObject({
    exitCode: 137,
    oomKilled: true,
    reason: expect.stringMatching(/memory/),
  });
  expect((await management.stats('greedy')).oomKills).toBe(1);
  expect(seen.find(({ kind }) => kind === 'exit')).toMatchObject({ oomKilled: true });

  await suite.lab.run('survivor', {
    args: 'tail /dev/zero; echo; sleep 1000',
    resources: { memory },
  });
  await expect
    .poll(() => seen.filter((event) => event.containerId === 'survivor' && event.kind === 'oom'))
    .toMatchObject([{ kills: expect.any(Number) }]);
  expect((await management.state('survivor')).status).toBe('running');
  await management.delete('survivor', { force: true });
  suite.lab.complaints.length = 0;
});

test('containers of the bridge are seen and changed in the same way', async () => {
  const { management, uvm, directory } = suite.lab;
  await uvm.createContainer({
    id: 'theirs',
    bundle: join(directory, 'bundles/theirs'),
    spec: suite.lab.spec({ args: obedient }),
  });
  const pid = await uvm.startInit('theirs', { stdout: 1 });
  expect(await management.state('theirs')).toMatchObject({ status: 'running', pid });
  const exec = await uvm.exec(
    'theirs',
    { args: ['sleep', '1000'], cwd: '/', env: ['PATH=/bin'] },
    {},
  );
  expect((await management.listProcesses('theirs')).map(({ processId }) => processId)).toEqual([
    'init',
    `pid:${exec}`,
  ]);
  await management.signal('theirs', { processId: `pid:${exec}`, signal: 'KILL' });
  expect(await management.waitProcess('theirs', `pid:${exec}`)).toMatchObject({ exitCode: 137 });
  const hostWaits = uvm.wait('theirs', pid, undefined, new AbortController().signal);
  await management.stop('theirs', { timeoutMs: 60_000 });
  expect(await hostWaits).toBe(7);
  await management.delete('theirs');
});

test('deleting one that runs needs force', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { args: deaf });
  await refusal('container-not-stopped', management.delete('c'));
  await management.delete('c', { force: true });
  await refusal('container-not-found', management.delete('c'));
});

test('the output is logged in the format of the CRI, beside whatever else becomes of it', async () => {
  const { management, directory } = suite.lab;
  const path = join(directory, 'c.log');
  const { connections, clients } = streams('stdin', 'stdout');
  const spec = suite.lab.spec({ args: 'echo out; echo err >&2; printf part; read x; echo after' });
  const created = await management.create({ id: 'c', spec, log: { path, maxBytes: 1_000_000 } });
  expect(created.logPath).toBe(path);
  await management.start('c', { streams: connections });
  await readUntil(clients.stdout, 'part');
  // A client that goes away is not the end of who is logged.
  clients.stdout?.destroy();
  clients.stdin?.end('go\n');
  expect(await management.wait('c')).toMatchObject({ exitCode: 0 });
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  const entries = lines.map((line) => line.split(' ').slice(1).join(' '));
  expect(entries.filter((line) => line.startsWith('stderr'))).toEqual(['stderr F err']);
  expect(entries.filter((line) => line.startsWith('stdout'))).toEqual([
    'stdout F out',
    'stdout P part',
    'stdout F after',
  ]);
  await management.delete('c');
  clients.stdin?.destroy();
  rmSync(path);
});

test('a log that was moved away is begun anew', async () => {
  const { management, directory } = suite.lab;
  const path = join(directory, 'c.log');
  const spec = suite.lab.spec({ args: 'echo first; read x; echo second; read y' });
  await management.create({ id: 'c', spec, openStdin: true, log: { path } });
  await management.start('c');
  const input = streams('stdin');
  await management.attach('c', 'init', input.connections);
  await expect.poll(() => readFileSync(path, 'utf8')).toMatch(/stdout F first\n$/);
  renameSync(path, `${path}.away`);
  await management.reopenLog('c');
  input.clients.stdin?.write('go\n');
  await expect.poll(() => readFileSync(path, 'utf8')).toMatch(/^\S+ stdout F second\n$/);
  expect(readFileSync(`${path}.away`, 'utf8')).toMatch(/^\S+ stdout F first\n$/);
  await management.delete('c', { force: true });
  input.clients.stdin?.destroy();
  rmSync(path);
  rmSync(`${path}.away`);
  await suite.lab.run('d', { args: 'exit 0' });
  await refusal('not-supported', management.reopenLog('d'), /has no log/);
});

test.each([
  [{ path: 'relative' }, /log.path/],
  [{ path: '/no/such/directory/log' }, /log.path/],
  [{ path: '/dev/null' }, /log.path/],
  [{ path: '/tmp/x', maxBytes: -1 }, /log.maxBytes/],
  [{ path: '/tmp/x', maxFiles: 0 }, /log.maxFiles/],
])('a log that cannot be is refused by field, with nothing made: %j', async (log, message) => {
  const spec = suite.lab.spec({ args: 'exit 0' });
  await refusal('invalid-argument', suite.lab.management.create({ id: 'c', spec, log }), message);
});

test('a create that fails leaves no log it has made, and one that was there as it was', async () => {
  const { management, directory } = suite.lab;
  const path = join(directory, 'c.log');
  const create = () => {
    const spec = suite.lab.spec({ args: ['/no/such/program'] });
    return management.create({ id: 'c', spec, log: { path } });
  };
  await expect(create()).rejects.toMatchObject({ code: 'failed' });
  expect(existsSync(path)).toBe(false);
  for (const content of ['', 'somebody’s\n']) {
    writeFileSync(path, content);
    await expect(create()).rejects.toMatchObject({ code: 'failed' });
    expect(readFileSync(path, 'utf8')).toBe(content);
  }
  rmSync(path);
});
