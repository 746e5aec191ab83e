import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { NULL_CONTAINER, RAW, RawBridge, RawHost } from '../support/raw-client.ts';
import { create, deleteState, execInUvm, negotiate, wait } from '../support/raw-flows.ts';
import { bundleOf, spec, testOutsideVm, useRootfs, withSession } from '../support/suite.ts';

useRootfs();

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const OWN_AGENT = 'it is about how the agent is started';

testOutsideVm(
  OWN_AGENT,
  '-transport stdio: the bridge is on descriptors 0 and 1, and its end is that of the agent',
  async () => {
    const name = `gcs-test-${randomBytes(6).toString('hex')}`;
    const agent = [path('../../bin/gcs'), '-v4', '-transport', 'stdio', '-log-format', 'json'];
    const child = spawn(path('../support/isolate.sh'), [name, 'child', ...agent]);
    const ended = once(child, 'close');
    const log = text(child.stderr);
    const ends = Duplex.from({ readable: child.stdout, writable: child.stdin });
    const bridge = new RawBridge(ends as unknown as net.Socket);
    await negotiate(bridge);
    await create(bridge, 'one', bundleOf('one'), spec({ args: 'exit 7' }));
    const request = { ContainerId: 'one', Settings: { ProcessParameters: '{}' } };
    const { body } = await bridge.call(RAW.executeProcess, request);
    expect(await wait(bridge, 'one', Number(body.ProcessId))).toBe(7);
    await bridge.notification('one');
    await deleteState(bridge, 'one');
    child.stdin.end();
    expect(await ended).toEqual([0, null]);
    for (const line of (await log).trimEnd().split('\n')) {
      expect(JSON.parse(line)).toMatchObject({ level: expect.any(String) });
    }
  },
);

testOutsideVm(OWN_AGENT, '-initial-policy-stance deny: nothing is started or changed', () =>
  withSession(
    async (s) => {
      const denied = /denied by policy/;
      await expect(s.create('no', { args: 'true' })).rejects.toThrow(denied);
      await expect(s.startInit('no')).rejects.toThrow(denied);
      await expect(s.sh('no', 'true')).rejects.toThrow(denied);
      await expect(s.execInUvm({ CommandArgs: ['true'] })).rejects.toThrow(denied);
      await expect(s.signal(NULL_CONTAINER, 1, 9)).rejects.toThrow(denied);
      await expect(s.properties('no', ['ProcessList'])).rejects.toThrow(denied);
      const limits = { ResourceType: 'ContainerConstraints', Settings: { Linux: {} } };
      const modify = s.call(RAW.modifySettings, { ContainerId: 'no', Request: limits });
      await expect(modify).rejects.toThrow(denied);
      const dump = await s.call(RAW.dumpStacks, { ContainerId: NULL_CONTAINER });
      expect(dump.body.GuestStacks).toContain('policy: deny');
      // What ends things is judged by whether they exist.
      await expect(s.delete('no')).rejects.toThrow('not found');
    },
    { args: ['-initial-policy-stance', 'deny'] },
  ),
);

const COMMANDS: [string, string][] = [
  [
    'a log file on a full disk',
    'exec "$0" -loglevel trace -logfile /dev/full -transport "hybrid:$1"',
  ],
  ['a closed standard error', 'exec "$0" -loglevel trace -transport "hybrid:$1" 2>&-'],
  ['no descriptor open at all', 'exec "$0" -loglevel trace -transport "hybrid:$1" <&- >&- 2>&-'],
];

for (const [name, line] of COMMANDS) {
  testOutsideVm(OWN_AGENT, `${name} does not keep the agent from its work`, () =>
    withSession(
      async (s) => {
        await s.create('work', { args: 'cat; exit 5' });
        const init = await s.startInit('work', { stdin: true, stdout: true });
        init.stdin?.end('word');
        expect(await s.finish('work', init)).toMatchObject({ exitCode: 5, stdout: 'word' });
        await s.delete('work');
      },
      { command: ['sh', '-c', line, path('../../bin/gcs'), '{PATH}'] },
    ),
  );
}

test('a log file that cannot be opened is told with the flag that named it', () => {
  const agent = spawnSync(path('../../bin/gcs'), ['-logfile', '/no/such/log'], {
    encoding: 'utf8',
  });
  expect(agent.status).toBe(2);
  expect(agent.stderr).toMatch(/-logfile: .*ENOENT.*\/no\/such\/log/);
});

testOutsideVm(
  OWN_AGENT,
  'what the agent starts has the limit of open files the agent was started with',
  () =>
    withSession(
      async (s) => {
        const own = await s.execInUvm({ CommandArgs: ['sh', '-c', 'ulimit -Sn'] });
        expect(await s.finish(NULL_CONTAINER, own)).toMatchObject({ stdout: '600\n' });
      },
      {
        command: [
          'sh',
          '-c',
          'ulimit -Sn 600; exec "$0" -transport "hybrid:$1"',
          path('../../bin/gcs'),
          '{PATH}',
        ],
      },
    ),
);

test('-use-inouterr is named in the log together with the transport of the rest', () => {
  const agent = spawnSync(path('../../bin/gcs'), ['-use-inouterr'], {
    input: '',
    encoding: 'utf8',
  });
  expect(agent.status).toBe(0);
  expect(agent.stderr).toContain('transport="stdio, vsock for the streams of processes"');
});

testOutsideVm(
  OWN_AGENT,
  '-use-inouterr: the bridge is on descriptors 0 and 1, the streams of processes over -transport',
  async () => {
    const directory = mkdtempSync(join(tmpdir(), 'gcs-'));
    using _directory = { [Symbol.dispose]: () => rmSync(directory, { recursive: true }) };
    const name = `gcs-test-${randomBytes(6).toString('hex')}`;
    await using host = new RawHost(join(directory, 'vsock'));
    const transport = `hybrid:${host.path}`;
    const agent = [path('../../bin/gcs'), '-use-inouterr', '-transport', transport];
    const child = spawn(path('../support/isolate.sh'), [name, 'child', ...agent]);
    child.stderr.resume();
    const ended = once(child, 'close');
    const ends = Duplex.from({ readable: child.stdout, writable: child.stdin });
    const bridge = new RawBridge(ends as unknown as net.Socket);
    await negotiate(bridge);
    const started = await execInUvm(host, bridge, { CommandArgs: ['echo', 'over hybrid'] });
    expect(await text(started.stdout ?? Readable.from([]))).toBe('over hybrid\n');
    started.stdout?.end();
    started.stderr?.end();
    expect(await wait(bridge, NULL_CONTAINER, started.pid)).toBe(0);
    child.stdin.end();
    expect(await ended).toEqual([0, null]);
  },
);

test('-transport dev-null: no host is looked for, and a signal ends the agent', async () => {
  const child = spawn(path('../../bin/gcs'), ['-transport', 'dev-null']);
  const ended = once(child, 'close');
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    if (!log.includes('nobody will ask') && `${log}${chunk}`.includes('nobody will ask'))
      child.kill('SIGTERM');
    log += chunk;
  });
  expect(await ended).toEqual([0, null]);
  expect(log).not.toContain('bridge');
});
