import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connectManagement, type ManagementClient } from '../../src/client/management/index.ts';
import { finish, shell } from '../support/management.ts';
import { spec, useRootfs } from '../support/suite.ts';
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
    await client.exec('c', shell('exit 9'), {}, { processId: 'ended' });
    expect(
      (await client.call('process.wait', { containerId: 'c', processId: 'ended' })).exitCode,
    ).toBe(9);
    await client.exec(
      'c',
      shell('read x; echo "side $x"; exit 8', { terminal: true }),
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
