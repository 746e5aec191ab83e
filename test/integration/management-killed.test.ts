import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connectManagement, type ManagementClient } from '../../src/client/management/index.ts';
import { finish } from '../support/management.ts';
import { shellProcess, spec, useRootfs } from '../support/suite.ts';
import { type SupervisedSession, withSupervised } from '../support/supervised-agent.ts';

useRootfs();

/** Kills the agent, and connects to the one that takes its place. */
async function reconnected(
  session: SupervisedSession,
  client: ManagementClient,
): Promise<ManagementClient> {
  client.close();
  await session.supervised.replace();
  return await connectManagement(session.raw.host.path);
}

test('what the door knows of a container and its processes outlives the agent', async () => {
  await withSupervised({}, async (session) => {
    let client = await connectManagement(session.raw.host.path);
    const log = { path: join(session.supervised.directory, 'c.log') };
    const script = 'while read x; do echo "got $x"; done; exit 5';
    await client.call('container.create', {
      id: 'c',
      spec: spec({ args: script, annotations: { 'org.opencontainers.image.stopSignal': 'INT' } }),
      openStdin: true,
      log,
    });
    await client.start('c', {});
    await client.exec('c', shellProcess('exit 9'), {}, { processId: 'ended' });
    expect(
      (await client.call('process.wait', { containerId: 'c', processId: 'ended' })).exitCode,
    ).toBe(9);
    await client.exec(
      'c',
      shellProcess('read x; echo "side $x"; exit 8', { terminal: true }),
      {},
      { processId: 'side' },
    );
    const before = await client.call('container.inspect', { id: 'c' });

    client = await reconnected(session, client);
    const after = await client.call('container.inspect', { id: 'c' });
    const { processes, ...rest } = before;
    expect(after).toMatchObject({
      ...rest,
      createdAt: expect.any(Number),
      startedAt: expect.any(Number),
    });
    expect(after.logPath).toBe(log.path);
    expect(after.processes).toMatchObject(
      processes.map(({ processId, pid, status }) => ({ processId, pid, status })),
    );
    const ended = { containerId: 'c', processId: 'ended' };
    expect(await client.call('process.status', ended)).toMatchObject({ exitCode: 9 });
    await client.call('process.delete', ended);

    // Clients attach again, and what was left open still is.
    const side = await client.attach('c', 'side', { stdin: true, stdout: true });
    side.stdin?.write('word\n');
    expect((await finish(side)).exitCode).toBe(8);
    const init = await client.attach('c', 'init', { stdin: true, stdout: true });
    init.stdin?.write('one\n');
    await expect.poll(() => readFileSync(log.path, 'utf8')).toMatch(/stdout F got one\n$/);

    client = await reconnected(session, client);
    init.stdin?.destroy();
    init.stdout?.destroy();
    await client.call('process.closeStdin', { containerId: 'c', processId: 'init' });
    expect(await client.call('container.wait', { id: 'c' })).toMatchObject({ exitCode: 5 });
    expect(readFileSync(log.path, 'utf8')).toMatch(/^\S+ stdout F got one\n$/);
    await client.call('container.delete', { id: 'c' });
    client.close();
  });
});

test('streams of the door’s clients go on with the next agent', async () => {
  await withSupervised({}, async (session) => {
    let client = await connectManagement(session.raw.host.path);
    await client.call('container.create', {
      id: 'c',
      spec: spec({ args: 'echo one; read x; echo "two $x"; exit 7' }),
    });
    const init = await client.start('c', { stdin: true, stdout: true });
    const seen: string[] = [];
    init.stdout?.on('data', (chunk: Buffer) => seen.push(chunk.toString()));
    await expect.poll(() => seen.join('')).toBe('one\n');
    client = await reconnected(session, client);
    init.stdin?.end('more\n');
    expect(await client.call('container.wait', { id: 'c' })).toMatchObject({ exitCode: 7 });
    await expect.poll(() => seen.join('')).toBe('one\ntwo more\n');
    await client.call('container.delete', { id: 'c' });
    client.close();
  });
});

test('an end that an agent has told of is not told again by the next one', async () => {
  await withSupervised({}, async (session) => {
    let client = await connectManagement(session.raw.host.path);
    const create = (id: string) =>
      client.call('container.create', {
        id,
        spec: spec({ args: 'read x; exit 5' }),
        openStdin: true,
      });
    for (const id of ['ended', 'running']) {
      await create(id);
      await client.start(id, {});
    }
    const exec = { containerId: 'running', processId: 'ended' };
    await client.exec('running', shellProcess('exit 9'), {}, { processId: exec.processId });
    await client.call('process.wait', exec);
    await client.call('process.closeStdin', { containerId: 'ended', processId: 'init' });
    await client.call('container.wait', { id: 'ended' });
    // Each answer of the agent comes after what it has noted of an end before.
    await client.call('container.list', {});

    client = await reconnected(session, client);
    const { epoch } = client.server;
    await client.call('container.delete', { id: 'ended' });
    await client.call('process.closeStdin', { containerId: 'running', processId: 'init' });
    await client.call('container.wait', { id: 'running' });
    expect(await client.call('process.status', exec)).toMatchObject({ exitCode: 9 });
    await client.call('container.delete', { id: 'running' });
    const told: string[] = [];
    const stop = new AbortController();
    for await (const item of client.events({ from: 1, epoch, signal: stop.signal })) {
      if (item.type !== 'event') throw new Error('a gap');
      told.push(`${item.kind} ${item.containerId} ${item.processId ?? ''}`.trim());
      if (told.at(-1) === 'delete running') stop.abort();
    }
    expect(told).toEqual(['delete ended', 'exit running init', 'delete running']);
    client.close();
  });
});
