import { existsSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { connectManagement } from '../../src/client/management/index.ts';
import { EmulatedHost } from '../../src/vsock/emulator/host.ts';
import { MANAGEMENT_PORT, MANAGEMENT_STREAM_PORT } from '../../src/vsock/ports.ts';
import { codeOf, finish, freshId, type Managed, withManagement } from '../support/management.ts';
import { shellProcess, testOutsideVm, useRootfs, withSession } from '../support/suite.ts';

useRootfs();

const ITS_FLAGS = 'it starts the agent with flags of its own';

/** The output of a request that sends some. */
async function received(
  managed: Managed,
  ...[method, params]: Parameters<Managed['client']['stream']>
): Promise<string> {
  const { stream, done } = await managed.client.stream(method, params);
  const [content] = await Promise.all([text(stream), done]);
  return content;
}

testOutsideVm(ITS_FLAGS, 'the door stays shut where it is to be', async () => {
  const shut = [['-management=off'], ['-initial-policy-stance=deny']];
  for (const args of shut) {
    await withSession(
      async (session) => {
        const connecting = connectManagement(session.raw.host.path);
        await expect(connecting).rejects.toMatchObject({ code: 'no-agent' });
        expect(existsSync(session.raw.host.path)).toBe(false);
      },
      { args },
    );
  }
});

testOutsideVm(ITS_FLAGS, 'a door that cannot be opened does not stop the bridge', async () => {
  const { mkdtempSync, rmSync } = await import('node:fs');
  const directory = mkdtempSync('/tmp/gcs-door-');
  writeFileSync(`${directory}/v`, 'somebody else');
  try {
    await withSession(
      async (session) => {
        expect(await session.raw.agent.logged('no management door')).toHaveLength(1);
        await session.call(0x10100c01, { ContainerId: '00000000-0000-0000-0000-000000000000' });
      },
      { directory },
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('hostile peers of both ports leave the agent and its other clients as they were', async () => {
  await withManagement(async (managed) => {
    await using host = new EmulatedHost(managed.path);
    const noise = Buffer.alloc(100_000, 0xff);
    for (const port of [MANAGEMENT_PORT, MANAGEMENT_STREAM_PORT]) {
      for (let round = 0; round < 20; round += 1) {
        const stream = (await host.dial(port)).stream();
        stream.on('error', () => {});
        const closed = new Promise((resolve) => stream.once('close', resolve));
        stream.write(round % 2 === 0 ? noise : noise.subarray(0, 10));
        if (round % 2 === 1) stream.destroy();
        stream.resume().on('end', () => stream.end());
        await closed;
      }
    }
    // Clients that die in the middle of what they asked for.
    const id = freshId('hostile');
    await managed.run(id, { args: ['sleep', 'infinity'] });
    for (let round = 0; round < 5; round += 1) {
      const client = await managed.connect();
      for (let n = 0; n < 20; n += 1) client.call('container.wait', { id }).catch(() => {});
      const unused = await client.openStreams(4);
      const exec = client.exec(id, shellProcess('cat'), { stdin: true, stdout: true });
      exec.catch(() => {});
      await turn();
      client.close();
      for (const { connection } of unused) connection.close();
      await exec.then(
        (process) => {
          process.stdin?.destroy();
          process.stdout?.destroy();
        },
        () => {},
      );
    }
    expect((await managed.sh(id, 'echo alive')).stdout).toBe('alive\n');
    await managed.remove(id);
  });
});

test('a host is told of the containers it has made, and of no others', async () => {
  await withManagement(async (managed) => {
    const { session } = managed;
    const [own, other] = [freshId('own'), freshId('other')];
    await managed.run(other, { args: 'exit 4' });
    expect((await managed.call('container.wait', { id: other })).exitCode).toBe(4);
    await managed.call('container.delete', { id: other });
    await session.create(own, { args: 'exit 5' });
    const init = await session.startInit(own);
    expect((await session.finish(own, init)).exitCode).toBe(5);
    await session.notification(own);
    await session.delete(own);
    expect(session.bridge.notifications.map(({ body }) => body.ContainerId)).not.toContain(other);
  });
});

test('what a client started goes on without it, and another client takes it over', async () => {
  await withManagement(async (managed) => {
    const id = freshId('left');
    const first = await managed.connect();
    const { spec } = await import('../support/suite.ts');
    await first.call('container.create', { id, spec: spec({ args: 'sleep 0.2; exit 3' }) });
    await first.start(id);
    first.close();
    expect(await managed.call('container.wait', { id })).toMatchObject({ exitCode: 3 });
    await managed.call('container.delete', { id });
  });
});

test('events tell a whole life, with numbers, and are had again after a reconnection', async () => {
  await withManagement(async (managed) => {
    const id = freshId('events');
    const { epoch, next } = await managed.call('events.subscribe', {});
    await managed.run(id, { args: ['sleep', 'infinity'] });
    await managed.call('container.pause', { id });
    await managed.call('container.resume', { id });
    const { processId } = await finishedExec(managed, id);
    await managed.call('container.stop', { id, timeoutMs: 0 });
    await managed.call('container.delete', { id });
    const kinds: string[] = [];
    const sequences: number[] = [];
    const stop = new AbortController();
    for await (const item of managed.client.events({
      from: Number(next),
      epoch,
      signal: stop.signal,
    })) {
      if (item.type !== 'event') throw new Error('a gap');
      kinds.push(item.processId === processId ? `${item.kind} of it` : item.kind);
      sequences.push(Number(item.sequence) - Number(next));
      if (item.kind === 'delete') stop.abort();
    }
    expect(kinds).toEqual([
      'create',
      'start',
      'pause',
      'resume',
      'exec of it',
      'exit of it',
      'exit',
      'delete',
    ]);
    expect(sequences).toEqual(kinds.map((_kind, index) => index));
  });
});

async function finishedExec(managed: Managed, id: string) {
  const process = await managed.client.exec(id, shellProcess('true'), { stdout: true });
  await finish(process);
  return process;
}

test('a log is read whole, from an offset, by its last lines, and followed to its end', async () => {
  await withManagement(async (managed) => {
    const id = freshId('log');
    const path = `/run/${id}.log`;
    const script =
      'for i in 1 2 3; do echo line $i; done; echo oops >&2; read go; echo end; rm -f nothing';
    await managed.create(id, { args: script }, { log: { path }, openStdin: true });
    const init = await managed.client.start(id, { stdin: true });
    const follow = await managed.client.stream('logs.read', { containerId: id, follow: true });
    let seen = '';
    follow.stream.setEncoding('utf8');
    for await (const chunk of follow.stream) {
      seen += chunk;
      if (seen.includes('oops') && init.stdin?.writableEnded === false) init.stdin.end('go\n');
    }
    const { bytes, nextOffset } = await follow.done;
    const entries = seen
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ').slice(1).join(' '));
    expect(entries.toSorted()).toEqual(
      [
        'stdout F line 1',
        'stdout F line 2',
        'stdout F line 3',
        'stderr F oops',
        'stdout F end',
      ].toSorted(),
    );
    expect(Number(bytes)).toBe(Buffer.byteLength(seen));
    expect(Number(nextOffset)).toBe(Number(bytes));
    expect(await received(managed, 'logs.read', { containerId: id })).toBe(seen);
    expect(await received(managed, 'logs.read', { containerId: id, tail: 1 })).toMatch(
      /^\S+ stdout F end\n$/,
    );
    const rest = await received(managed, 'logs.read', { containerId: id, offset: bytes });
    expect(rest).toBe('');
    await managed.call('container.delete', { id });
    expect(await codeOf(managed.call('logs.reopen', { containerId: id }))).toBe(
      'container-not-found',
    );
    await managed.session.uvmSh(`rm -f ${path}`);
  });
});

test('a follower of a log loses nothing when its file is moved away and reopened', async () => {
  await withManagement(async (managed) => {
    const id = freshId('reopen');
    const path = `/run/${id}.log`;
    await managed.create(
      id,
      { args: 'while read x; do echo $x; done' },
      { log: { path }, openStdin: true },
    );
    const init = await managed.client.start(id, { stdin: true });
    const follow = await managed.client.stream('logs.read', { containerId: id, follow: true });
    follow.stream.setEncoding('utf8');
    init.stdin?.write('one\n');
    let seen = '';
    let moved = false;
    for await (const chunk of follow.stream) {
      seen += chunk;
      if (seen.includes('one') && !moved) {
        moved = true;
        await managed.session.uvmSh(`mv ${path} ${path}.old`);
        await managed.call('logs.reopen', { containerId: id });
        init.stdin?.end('two\n');
      }
    }
    await follow.done;
    expect(seen).toMatch(/^\S+ stdout F one\n\S+ stdout F two\n$/);
    expect(await managed.session.uvmSh(`cat ${path} | wc -l`)).toBe('1\n');
    await managed.call('container.delete', { id });
    await managed.session.uvmSh(`rm -f ${path} ${path}.old`);
  });
});

test('a follower that is given up, or closes, is over; the container goes on', async () => {
  await withManagement(async (managed) => {
    const id = freshId('follow');
    const path = `/run/${id}.log`;
    await managed.run(id, { args: 'echo there; exec sleep infinity' }, {}, { log: { path } });
    const end = new AbortController();
    const params = { containerId: id, follow: true };
    const given = await managed.client.stream('logs.read', params, { signal: end.signal });
    given.stream.once('data', () => end.abort(new Error('enough')));
    await expect(given.done).rejects.toThrow('enough');
    const closed = await managed.client.stream('logs.read', params);
    closed.stream.once('data', () => closed.stream.destroy());
    expect(Number((await closed.done).bytes)).toBeGreaterThan(0);
    expect(await codeOf(managed.call('container.state', { id }))).toBe('no error');
    await managed.remove(id);
    await managed.session.uvmSh(`rm -f ${path}`);
  });
});

test('the agent tells of itself: info, health, runtimes, metrics, stacks', async () => {
  await withManagement(async (managed) => {
    const id = freshId('told');
    await managed.run(id, { args: ['sleep', 'infinity'] });
    const info = await managed.call('system.info', {});
    expect(info).toMatchObject({ containers: { total: 1, running: 1 }, clients: 1 });
    expect(await managed.call('system.health', {})).toMatchObject({ healthy: true });
    const { runtimes } = await managed.call('runtime.list', {});
    expect(runtimes[0]).toMatchObject({ name: 'runc' });
    expect(await managed.call('runtime.version', {})).toMatchObject({
      version: runtimes[0]?.version,
    });
    expect(await codeOf(managed.call('runtime.version', { name: 'none' }))).toBe('not-supported');
    expect(await managed.call('runtime.status', {})).toMatchObject({
      runtimeReady: { ready: true },
    });
    const { text: metrics } = await managed.call('system.metrics', {});
    expect(metrics).toMatch(
      /^gcs_management_requests_total\{method="system.info",outcome="ok"\} 1$/m,
    );
    const names = [...metrics.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    expect(new Set(names).size).toBe(names.length);
    const { text: stacks } = await managed.call('system.stacks', {});
    expect(stacks).toContain(`container ${id} running`);
    expect(stacks).toContain('system.stacks (id');
    await managed.remove(id);
  });
});

test('the log level is changed while the agent runs', async () => {
  await withManagement(async (managed) => {
    const before = await managed.call('system.logLevel', {});
    expect(await managed.call('system.logLevel', { level: 'debug' })).toEqual({ level: 'debug' });
    await managed.call('system.stacks', {});
    expect(
      (await managed.session.raw.agent.logged('request=system.stacks')).length,
    ).toBeGreaterThan(0);
    await managed.call('system.logLevel', before);
  });
});

test('profiles of heap and CPU come over streams, one at a time', async () => {
  await withManagement(async (managed) => {
    const snapshot = JSON.parse(await received(managed, 'system.heapSnapshot', {})) as object;
    expect(snapshot).toHaveProperty('snapshot.meta');
    const end = new AbortController();
    const params = { seconds: 300 };
    const long = await managed.client.stream('system.cpuProfile', params, { signal: end.signal });
    const other = await managed.client.stream('system.heapSnapshot', {});
    expect(await codeOf(other.done)).toBe('limit');
    end.abort(new Error('enough'));
    await expect(long.done).rejects.toThrow('enough');
    const profile = JSON.parse(
      await received(managed, 'system.cpuProfile', { seconds: 1 }),
    ) as object;
    expect(profile).toHaveProperty('nodes');
  });
});
