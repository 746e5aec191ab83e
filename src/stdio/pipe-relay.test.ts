import { once } from 'node:events';
import { constants as fileFlags, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Pattern, receivePattern, sendPattern } from '../../test/support/pattern.ts';
import { processEntry } from '../../test/support/proc.ts';
import { connect, runPiped, sh, useRelays } from '../../test/support/stdio-rig.ts';
import { openFile, pipe } from '../os/pipe.ts';
import { PipeRelay } from './pipe-relay.ts';
import { ProcessPipes } from './process-pipes.ts';

const { SIGCONT, SIGKILL, SIGPIPE } = constants.signals;
const pattern = new Pattern();

const { reaper, run } = useRelays(runPiped);

/** True when `promise` has not settled after everything that was ready has run. */
async function pending(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.then(() => {
    settled = true;
  });
  for (let i = 0; i < 50; i++) await turn();
  return !settled;
}

describe('output', () => {
  test('both streams and the code arrive; the report counts them', async () => {
    const { host, session, exit } = await run('echo out; echo error >&2; exit 7');
    const [out, err] = await Promise.all([host.readAll('stdout'), host.readAll('stderr')]);
    expect(String(out)).toBe('out\n');
    expect(String(err)).toBe('error\n');
    expect(await exit).toBe(7);
    const report = {
      stdin: { bytes: 0, outcome: 'process-closed' },
      stdout: { bytes: 4, outcome: 'drained' },
      stderr: { bytes: 6, outcome: 'drained' },
    };
    expect(await session.drained).toEqual(report);
    expect(await session.closed).toEqual(report);
    expect(session.snapshot()).toEqual(report);
  });

  test('a stream nobody asked for is not there', async () => {
    const { host, session, exit } = await run('echo out; echo lost >&2', { streams: ['stdout'] });
    expect(String(await host.readAll('stdout'))).toBe('out\n');
    expect(await exit).toBe(0);
    expect(Object.keys(await session.closed)).toEqual(['stdout']);
  });

  test('a process that closes stdout before it ends: the host sees the end at once', async () => {
    const { host, session, exit } = await run('echo bye; exec >&-; read line; exit 2');
    expect(String(await host.readAll('stdout'))).toBe('bye\n');
    expect(await pending(session.drained)).toBe(true);
    host.stream('stdin').end('go\n');
    expect(await exit).toBe(2);
    host.close('stderr');
    expect((await session.drained).stdout).toEqual({ bytes: 4, outcome: 'drained' });
  });

  test('a host that does not read one stream delays neither the other nor the process', async () => {
    const { host, session, exit } = await run(
      'yes stderr | head -c 100000 >&2; head -c 3000000 /dev/zero; exit 4',
    );
    expect((await host.readAll('stdout')).length).toBe(3_000_000);
    expect(await exit).toBe(4);
    expect(await pending(session.drained)).toBe(true);
    expect((await host.readAll('stderr')).length).toBe(100_000);
    expect((await session.drained).stderr).toEqual({ bytes: 100_000, outcome: 'drained' });
  });

  test('what the process wrote waits for a host that starts to read late', async () => {
    const { host, session, exit } = await run('head -c 65000 /dev/zero', {
      streams: ['stdout'],
      policy: { grandchildMs: 1, hostCloseMs: 1 },
      full: 'stdout',
    });
    expect(await exit).toBe(0);
    const later = new Promise((resolve) => setTimeout(resolve, 30));
    expect(await Promise.race([session.drained, later])).toBe(undefined);
    expect((await host.readAll('stdout')).length).toBe(host.filling + 65_000);
    expect(await session.drained).toEqual({ stdout: { bytes: 65_000, outcome: 'drained' } });
  });
});

describe('the host closes', () => {
  test('stdout early: the process gets SIGPIPE', async () => {
    const { host, session, exit } = await run('exec yes');
    await once(host.stream('stdout'), 'data');
    host.close('stdout');
    expect(await exit).toBe(128 + SIGPIPE);
    host.close('stderr');
    expect((await session.drained).stdout?.outcome).toBe('host-closed');
  });

  test('stdout before anything is written: so does a process that writes later', async () => {
    const { host, session, exit } = await run('read line; exec yes');
    host.close('stdout');
    while (session.snapshot().stdout?.outcome === 'open') await turn();
    host.stream('stdin').end('go\n');
    expect(await exit).toBe(128 + SIGPIPE);
  });

  test('stdout, while stderr goes on', async () => {
    const { host, exit } = await run('yes >/dev/stdout; head -c 1000000 /dev/zero >&2; exit 5');
    host.close('stdout');
    expect((await host.readAll('stderr')).length).toBeGreaterThanOrEqual(1_000_000);
    expect(await exit).toBe(5);
  });

  test('everything at once, as when it dies', async () => {
    const { host, session, exit } = await run('cat; head -c 1000000 /dev/zero');
    host.closeAll();
    expect(await exit).toBe(128 + SIGPIPE);
    expect(await session.closed).toMatchObject({
      stdin: { outcome: 'drained' },
      stdout: { outcome: 'host-closed' },
      stderr: { outcome: 'host-closed' },
    });
  });

  test('never: the wait is answered after hostCloseMs, and the stream closed', async () => {
    const { host, session, exit } = await run('echo x', {
      streams: ['stdout'],
      policy: { hostCloseMs: 20 },
    });
    host.stream('stdout').resume();
    await once(host.stream('stdout'), 'end');
    expect(await exit).toBe(0);
    const report = { stdout: { bytes: 2, outcome: 'drained' } };
    expect(await session.drained).toEqual(report);
    expect(await session.closed).toEqual(report);
  });

  test('late, after it has read nothing for longer than hostCloseMs: nothing is lost', async () => {
    const { host, session, exit } = await run('echo x', {
      streams: ['stdout'],
      policy: { hostCloseMs: 1 },
    });
    expect(await exit).toBe(0);
    const later = new Promise((resolve) => setTimeout(resolve, 30));
    expect(await Promise.race([session.drained, later])).toBe(undefined);
    expect(String(await host.readAll('stdout'))).toBe('x\n');
    expect((await session.drained).stdout?.outcome).toBe('drained');
  });
});

describe('stdin', () => {
  test.each([
    0, 1, 65_535, 65_536, 65_537, 5_000_000,
  ])('%i bytes reach the process and come back', async (total) => {
    const { host, session, exit } = await run('exec cat');
    const received = receivePattern(host.stream('stdout'), pattern);
    await sendPattern(host.stream('stdin'), pattern, total);
    expect(await received).toBe(total);
    expect(await exit).toBe(0);
    host.closeAll();
    expect(await session.closed).toMatchObject({
      stdin: { bytes: total, outcome: 'drained' },
      stdout: { bytes: total, outcome: 'drained' },
    });
  });

  test('half-closed by the host: the process reads the end', async () => {
    const { host, exit } = await run('cat >/dev/null; exit 9');
    host.stream('stdin').end();
    expect(await exit).toBe(9);
  });

  test('a process that closes it: the host goes on without an error until the process ends', async () => {
    const { host, session, exit, signal } = await run('exec <&-; echo closed; exec sleep 1000');
    await once(host.stream('stdout'), 'data');
    const stdin = host.stream('stdin');
    stdin.write('nobody reads this');
    while (session.snapshot().stdin?.outcome === 'open') await turn();
    expect(session.snapshot().stdin?.outcome).toBe('process-closed');
    const failed = once(stdin, 'error');
    // More than the connection takes, so that the write is still waiting when the process ends.
    expect(stdin.write(Buffer.alloc(4_000_000))).toBe(false);
    for (let i = 0; i < 50; i++) await turn();
    expect(stdin.errored).toBe(null);
    signal(SIGKILL);
    expect(await exit).toBe(128 + SIGKILL);
    expect(await failed).toMatchObject([{ code: expect.stringMatching(/EPIPE|ECONNRESET/) }]);
  });

  test('a process that ends while the host writes: the write fails, the wait does not hang', async () => {
    const { host, session, exit } = await run('read line; exit 3');
    const stdin = host.stream('stdin');
    const failed = once(stdin, 'error');
    stdin.write(Buffer.alloc(4_000_000, '\n'));
    expect(await exit).toBe(3);
    expect(await failed).toMatchObject([{ code: expect.stringMatching(/EPIPE|ECONNRESET/) }]);
    host.close('stdout');
    host.close('stderr');
    expect((await session.drained).stdin?.outcome).toBe('process-closed');
  });
});

describe('a background child that keeps stdout', () => {
  test('is cut off the wait after grandchildMs; what the process wrote is all there', async () => {
    const { host, session, exit } = await run('sleep 1000 & echo $!; exit 3', {
      streams: ['stdout'],
      policy: { grandchildMs: 10 },
    });
    const [line] = (await once(host.stream('stdout'), 'data')) as [Buffer];
    expect(await exit).toBe(3);
    expect(await session.drained).toEqual({ stdout: { bytes: line.length, outcome: 'cut' } });
    expect(session.snapshot().stdout?.outcome).toBe('open');
    process.kill(Number(String(line)), SIGKILL);
    await once(host.stream('stdout'), 'end');
    host.close('stdout');
    expect((await session.closed).stdout?.outcome).toBe('drained');
  });

  test('goes on writing to the host after the wait was answered', async () => {
    const { host, session, exit } = await run(
      `sh -c 'echo $$ >&2; exec 2>&-; kill -STOP $$; echo late' & exit 0`,
      { policy: { grandchildMs: 10 } },
    );
    const pid = Number(String(await host.readAll('stderr')));
    const all = host.readAll('stdout');
    expect(await exit).toBe(0);
    expect((await session.drained).stdout).toEqual({ bytes: 0, outcome: 'cut' });
    while (processEntry(pid)?.state !== 'T') await turn();
    process.kill(pid, SIGCONT);
    expect(String(await all)).toBe('late\n');
    expect((await session.closed).stdout).toEqual({ bytes: 5, outcome: 'drained' });
  });

  test('that ends within the bound is waited for', async () => {
    // It reads the end of stdin when the process has ended.
    const { host, session, exit } = await run('exec 3<&0; { read line <&3; echo late; } & exit 0', {
      streams: ['stdin', 'stdout'],
    });
    expect(await exit).toBe(0);
    expect(String(await host.readAll('stdout'))).toBe('late\n');
    expect((await session.drained).stdout).toEqual({ bytes: 5, outcome: 'drained' });
  });

  test('and writes without a pause does not hold the wait back either', async () => {
    const { host, session, exit } = await run('yes 2>&- & exit 6', {
      policy: { grandchildMs: 10 },
    });
    host.stream('stdout').resume();
    host.close('stderr');
    expect(await exit).toBe(6);
    expect((await session.drained).stdout?.outcome).toBe('cut');
    host.close('stdout');
    expect((await session.closed).stdout?.outcome).toBe('host-closed');
  });

  test('does not cut what a slow host has still to read', async () => {
    const { host, session, exit } = await run(
      'sleep 1000 & echo $! >&2; printf "x%.0s" 1 2 3 4 5',
      {
        policy: { grandchildMs: 1 },
        full: 'stdout',
      },
    );
    const [line] = (await once(host.stream('stderr'), 'data')) as [Buffer];
    host.close('stderr');
    expect(await exit).toBe(0);
    const later = new Promise((resolve) => setTimeout(resolve, 30));
    expect(await Promise.race([session.drained, later])).toBe(undefined);
    expect(session.snapshot().stdout).toEqual({ bytes: 0, outcome: 'open' });
    host.stream('stdout').resume();
    expect((await session.drained).stdout).toEqual({ bytes: 5, outcome: 'cut' });
    process.kill(Number(String(line)), SIGKILL);
  });
});

describe('log files', () => {
  test('get a copy of a stream, and all of one without a connection', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'gcs-tee-'));
    try {
      const log = (name: string) =>
        openFile(
          join(directory, name),
          fileFlags.O_WRONLY | fileFlags.O_CREAT | fileFlags.O_APPEND,
        );
      const { connections, host } = await connect(['stdout']);
      using pipes = new ProcessPipes({ stdout: true, stderr: true }, 'dev-null');
      const child = reaper().spawn({
        file: '/bin/sh',
        args: sh('echo out; echo error >&2'),
        env: [],
        stdio: pipes.stdio,
      });
      pipes.closeProcessEnds();
      const session = new PipeRelay({
        connections,
        pipes: pipes.takeAgentEnds(),
        tee: { stdout: log('out'), stderr: log('err') },
      });
      void child.exited.then(() => session.processExited());
      expect(String(await host.readAll('stdout'))).toBe('out\n');
      expect(await session.closed).toEqual({
        stdout: { bytes: 4, outcome: 'drained' },
        stderr: { bytes: 6, outcome: 'drained' },
      });
      expect(readFileSync(join(directory, 'out'), 'utf8')).toBe('out\n');
      expect(readFileSync(join(directory, 'err'), 'utf8')).toBe('error\n');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('the session', () => {
  test('is no terminal', async () => {
    const { session } = await run('exit 0');
    expect(session.terminal).toBe(false);
    expect(() => session.resize({ width: 80, height: 24 })).toThrow(
      expect.objectContaining({ code: 'ENOTTY' }),
    );
  });

  test('abort ends every stream of a process that goes on', async () => {
    const { host, session } = await run('exec cat');
    host.stream('stdin').write('x');
    await once(host.stream('stdout'), 'data');
    session.abort();
    expect(await session.closed).toEqual({
      stdin: { bytes: 1, outcome: 'process-closed' },
      stdout: { bytes: 1, outcome: 'cut' },
      stderr: { bytes: 0, outcome: 'cut' },
    });
    await session.drained;
  });

  test('abort while the host does not close', async () => {
    const { session, exit } = await run('echo x', { streams: ['stdout'] });
    expect(await exit).toBe(0);
    while (session.snapshot().stdout?.outcome === 'open') await turn();
    expect(await pending(session.drained)).toBe(true);
    session.abort();
    expect(await session.drained).toEqual({ stdout: { bytes: 2, outcome: 'cut' } });
  });

  test('what has no counterpart is closed at once', async () => {
    const { connections, host } = await connect(['stdin', 'stdout']);
    const { read, write } = pipe();
    const session = new PipeRelay({
      connections,
      pipes: { stdin: null, stdout: null, stderr: read },
    });
    expect((await host.readAll('stdout')).length).toBe(0);
    host.closeAll();
    write.close();
    session.processExited();
    expect(await session.closed).toEqual({ stderr: { bytes: 0, outcome: 'drained' } });
  });

  test('that cannot start leaves nothing open', async () => {
    const { connections, host } = await connect(['stdin', 'stdout', 'stderr']);
    const { read: stdout, write } = pipe();
    const { read, write: stdin } = pipe();
    const { read: stderr, write: unused } = pipe();
    stderr.close();
    unused.close();
    const start = () => new PipeRelay({ connections, pipes: { stdin, stdout, stderr } });
    expect(start).toThrow(expect.objectContaining({ code: 'EBADF' }));
    for (const name of ['stdout', 'stderr'] as const) await host.readAll(name);
    host.closeAll();
    write.close();
    read.close();
  });
});
