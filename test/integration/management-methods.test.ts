import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { codeOf, finish, freshId, withManagement } from '../support/management.ts';
import { shellProcess, testVm, useRootfs } from '../support/suite.ts';

useRootfs();

test('every method of containers answers as the contract says', async () => {
  await withManagement(async (managed) => {
    const { call } = managed;
    const id = freshId('all');
    const memory = { memory: { limit: 64 * 1024 * 1024 } };
    expect(
      await managed.create(id, { args: 'sleep infinity & wait', resources: memory }),
    ).toMatchObject({
      id,
      status: 'created',
      runtime: 'runc',
      terminal: false,
    });
    expect(await codeOf(managed.create(id, { args: 'x' }))).toBe('container-exists');
    expect(await codeOf(call('container.pause', { id }))).toBe('container-not-running');
    const started = await call('container.start', { id });
    expect(started).toMatchObject({ status: 'running', startedAt: expect.any(Number) });
    expect(await codeOf(call('container.start', { id }))).toBe('container-not-created');

    expect((await call('container.list', {})).containers).toMatchObject([{ id, pid: started.pid }]);
    expect((await call('container.list', { status: ['stopped'] })).containers).toEqual([]);
    const inspected = await call('container.inspect', { id });
    expect(inspected.spec.process?.args).toEqual(['sh', '-c', 'sleep infinity & wait']);
    expect(inspected.processes).toMatchObject([{ processId: 'init', status: 'running' }]);

    const processes = async () => (await call('container.processes', { id })).processes;
    expect((await processes())[0]).toMatchObject({ pid: started.pid, processId: 'init' });
    const stats = await call('container.stats', { ids: [id] });
    expect(stats.stats).toMatchObject([
      { id, metrics: { memory: { usage: { limit: 67_108_864 } } } },
    ]);
    expect((await call('container.stats', {})).stats).toHaveLength(1);
    await call('container.update', { id, resources: { memory: { limit: 128 * 1024 * 1024 } } });
    expect((await call('container.stats', {})).stats).toMatchObject([
      { metrics: { memory: { usage: { limit: 134_217_728 } } } },
    ]);

    expect(await call('container.pause', { id })).toMatchObject({ status: 'paused' });
    expect(
      await codeOf(call('process.exec', { containerId: id, process: shellProcess('true') })),
    ).toBe('container-paused');
    expect(await call('container.resume', { id })).toMatchObject({ status: 'running' });
    expect(await codeOf(call('container.resume', { id }))).toBe('container-not-paused');
    expect(await codeOf(call('container.delete', { id }))).toBe('container-not-stopped');

    const waiting = call('container.wait', { id });
    expect(await codeOf(call('container.wait', { id, timeoutMs: 1 }))).toBe('timeout');
    expect(await call('container.signal', { id, signal: 'USR2', all: true })).toMatchObject({
      failed: [],
    });
    const { exitCode } = await waiting;
    expect([0, 128 + 12]).toContain(exitCode);
    expect(await call('container.stop', { id })).toMatchObject({
      status: 'stopped',
      exit: { exitCode },
    });
    expect(await codeOf(call('logs.reopen', { containerId: id }))).toBe('not-supported');
    await call('container.delete', { id });
    expect(await codeOf(call('container.state', { id }))).toBe('container-not-found');
  });
});

test('every method of processes answers as the contract says', async () => {
  await withManagement(async (managed) => {
    const { call, client } = managed;
    const containerId = freshId('procs');
    await managed.run(containerId, { args: ['sleep', 'infinity'] });
    const terminal = shellProcess(
      'trap "stty size" WINCH; echo ready; while :; do read line && echo "got $line"; done',
      {
        terminal: true,
      },
    );
    const options = { processId: 'mine' };
    const process = await client.exec(
      containerId,
      terminal,
      { stdin: true, stdout: true },
      options,
    );
    const name = { containerId, processId: 'mine' };
    let seen = '';
    process.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      seen += chunk;
    });
    const shows = async (wanted: string): Promise<void> => {
      while (!seen.includes(wanted) && process.stdout !== undefined)
        await once(process.stdout, 'data');
    };
    await shows('ready');
    await process.resize({ width: 91, height: 17 });
    await shows('17 91');
    expect(await codeOf(call('process.resize', { containerId, width: 1, height: 1 }))).toBe(
      'not-a-terminal',
    );
    expect(await call('process.state', name)).toMatchObject({
      status: 'running',
      pid: process.pid,
      terminal: true,
    });
    const { process: spec } = await call('process.spec', name);
    expect(spec).toMatchObject({ terminal: true, cwd: '/' });
    expect((await call('process.list', { containerId })).processes).toMatchObject([
      { processId: 'init' },
      { processId: 'mine' },
    ]);
    expect(await codeOf(call('process.status', name))).toBe('process-not-exited');
    expect(await codeOf(call('process.delete', name))).toBe('process-not-exited');
    expect(await codeOf(client.exec(containerId, terminal, {}, options))).toBe('process-exists');
    await process.signal('KILL');
    expect(await process.wait()).toMatchObject({ exitCode: 137, signal: 9 });
    expect(await call('process.status', name)).toMatchObject({ exitCode: 137 });
    await call('process.delete', name);
    expect(await codeOf(call('process.state', name))).toBe('process-not-found');

    const cat = await client.exec(containerId, shellProcess('cat'), { stdin: true, stdout: true });
    cat.stdin?.write('one');
    if (cat.stdout !== undefined) await once(cat.stdout, 'readable');
    await cat.closeStdin();
    expect((await finish(cat)).stdout).toBe('one');
    await managed.remove(containerId);
  });
});

test('a client attaches to a process that was started without streams', async () => {
  await withManagement(async (managed) => {
    const id = freshId('attach');
    await managed.run(id, { args: 'read x; echo "got $x"' }, {}, { openStdin: true });
    const init = await managed.client.attach(id, 'init', { stdin: true, stdout: true });
    init.stdin?.write('this\n');
    expect((await finish(init)).stdout).toBe('got this\n');
    await managed.call('container.delete', { id });
  });
});

test('execSync gives bytes, its code, and what was written when its time is up', async () => {
  await withManagement(async (managed) => {
    const containerId = freshId('sync');
    await managed.run(containerId, { args: ['sleep', 'infinity'] });
    const sh = (script: string, timeoutMs?: number) =>
      managed.call('process.execSync', { containerId, args: ['sh', '-c', script], timeoutMs });
    const result = await sh("printf '\\377\\0'; echo err >&2; exit 5");
    expect({ ...result, stdout: [...result.stdout], stderr: String(result.stderr) }).toMatchObject({
      exitCode: 5,
      stdout: [255, 0],
      stderr: 'err\n',
      timedOut: false,
    });
    // Where a VM is interpreted the exec itself takes seconds of it.
    const late = await sh('echo before; sleep 60', testVm === undefined ? 1000 : 20_000);
    expect(late).toMatchObject({ timedOut: true, exitCode: 137 });
    expect(String(late.stdout)).toBe('before\n');
    await managed.remove(containerId);
  });
});

test('a checkpoint is made and restored, or it is said why not', async () => {
  await withManagement(async (managed) => {
    const id = freshId('criu');
    await managed.run(id, { args: ['sleep', 'infinity'] });
    const directory = `/run/${id}.images`;
    const { capabilities } = managed.client.server;
    const made = await codeOf(managed.call('container.checkpoint', { id, directory }));
    expect(made).toBe(capabilities.checkpoint ? 'no error' : 'not-supported');
    const restored = managed.call('container.restore', { id: freshId('criu'), directory });
    if (!capabilities.checkpoint) expect(await codeOf(restored)).not.toBe('no error');
    await managed.remove(id);
  });
});

test('a request that fails leaves its streams closed', async () => {
  await withManagement(async (managed) => {
    const [opened] = await managed.client.openStreams(1);
    if (opened === undefined) throw new Error('no stream');
    const id = freshId('failing');
    await managed.run(id, { args: ['sleep', 'infinity'] });
    const exec = managed.call('process.exec', {
      containerId: id,
      process: { args: ['/nowhere/to/be/found'], cwd: '/' },
      stdio: { stdout: opened.token },
    });
    await expect(exec).rejects.toMatchObject({
      data: { runtimeMessage: expect.stringContaining('/nowhere') },
    });
    const stream = opened.connection.stream();
    expect(await text(stream)).toBe('');
    stream.destroy();
    const again = managed.call('process.exec', {
      containerId: id,
      process: shellProcess('true'),
      stdio: { stdout: opened.token },
    });
    expect(await codeOf(again)).toBe('stream-not-found');
    await managed.remove(id);
  });
});
