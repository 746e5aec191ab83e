import { once } from 'node:events';
import { constants as fileFlags, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Pattern, receivePattern, sendPattern } from '../../test/support/pattern.ts';
import { connect, type Running, runOnTerminal, useRelays } from '../../test/support/stdio-rig.ts';
import { openFile } from '../os/pipe.ts';
import { openPty } from '../os/pty.ts';
import { TtyRelay } from './tty-relay.ts';

const { SIGHUP, SIGKILL, SIGUSR1 } = constants.signals;
const pattern = new Pattern();

const { reaper, run } = useRelays(runOnTerminal);

/** Reads until the text has come. */
async function until(each: Running, text: string): Promise<void> {
  let seen = '';
  for await (const chunk of each.host.stream('stdout').iterator({ destroyOnReturn: false })) {
    seen += String(chunk);
    if (seen.includes(text)) return;
  }
  throw new Error(`ended without ${JSON.stringify(text)}: ${JSON.stringify(seen)}`);
}

describe('TtyRelay', () => {
  test('output through the terminal, then the end and the code', async () => {
    const { host, session, exit } = await run('tty; echo error >&2; exit 7');
    const out = String(await host.readAll('stdout'));
    expect(out).toMatch(/^\/dev\/pts\/\d+\r\nerror\r\n$/);
    expect(await exit).toBe(7);
    expect(session.terminal).toBe(true);
    expect(await session.closed).toMatchObject({
      stdin: { outcome: 'process-closed' },
      stdout: { bytes: out.length, outcome: 'drained' },
    });
  });

  test('the wait does not need the host to close', async () => {
    const { host, session, exit } = await run('echo x');
    expect(await exit).toBe(0);
    expect((await session.drained).stdout).toEqual({ bytes: 3, outcome: 'drained' });
    await session.closed;
    expect(String(await host.readAll('stdout'))).toBe('x\r\n');
  });

  test('input is typed, echoed and read; half-closing it is no ^D', async () => {
    const each = await run('read first; echo "<$first>"; read second; echo "<$second>"; exit 3');
    const { host, session, exit, signal } = each;
    host.stream('stdin').end('hello\n');
    await until(each, '<hello>');
    while (session.snapshot().stdin?.outcome === 'open') await turn();
    expect(session.snapshot().stdin).toEqual({ bytes: 6, outcome: 'drained' });
    for (let i = 0; i < 50; i++) await turn();
    expect(session.snapshot().stdout?.outcome).toBe('open');
    signal(SIGKILL);
    expect(await exit).toBe(128 + SIGKILL);
  });

  test('^C and ^D do what they do on a terminal', async () => {
    const each = await run('trap "exit 5" INT; echo ready; while :; do read line; done');
    await until(each, 'ready');
    each.host.stream('stdin').write('\x03');
    expect(await each.exit).toBe(5);
    const other = await run('echo ready; cat; exit 6');
    await until(other, 'ready');
    other.host.stream('stdin').write('\x04');
    expect(await other.exit).toBe(6);
  });

  test('resize reaches the process; sizes are checked', async () => {
    const each = await run(
      'trap "stty size; exit 0" WINCH; stty size; while :; do read line; done',
      {
        size: { width: 100, height: 30 },
      },
    );
    await until(each, '30 100');
    expect(() => each.session.resize({ width: 70_000, height: 1 })).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
    each.session.resize({ width: 132, height: 50 });
    await until(each, '50 132');
    expect(await each.exit).toBe(0);
    await each.session.closed;
    each.session.resize({ width: 1, height: 1 });
  });

  test('64 MiB through a raw terminal, every byte', { timeout: 60_000 }, async () => {
    const total = 64 * 1_048_576;
    const { host, session, exit } = await run('stty raw -echo; printf R; exec head -c 67108864');
    const stdout = host.stream('stdout');
    const [ready] = (await once(stdout, 'data')) as [Buffer];
    expect(String(ready)).toBe('R');
    stdout.pause();
    stdout.removeAllListeners('data');
    const received = receivePattern(stdout, pattern);
    void sendPattern(host.stream('stdin'), pattern, total);
    expect(await received).toBe(total);
    expect(await exit).toBe(0);
    expect(await session.closed).toMatchObject({
      stdin: { bytes: total },
      stdout: { bytes: total + 1, outcome: 'drained' },
    });
  });

  test('without a stdout connection the output is thrown away, not waited for', async () => {
    const { host, session, exit } = await run('read line; head -c 300000 /dev/zero; exit 4', {
      streams: ['stdin'],
    });
    host.stream('stdin').write('go\n');
    expect(await exit).toBe(4);
    expect((await session.drained).stdout?.outcome).toBe('drained');
  });

  test('without any connection too', async () => {
    const { session, exit } = await run('head -c 300000 /dev/zero; exit 4', { streams: [] });
    expect(await exit).toBe(4);
    expect(Object.keys(await session.closed)).toEqual(['stdout']);
  });

  test('a host that closes stdout hangs the terminal up', async () => {
    const { host, session, exit } = await run('while :; do echo x; done');
    await once(host.stream('stdout'), 'data');
    host.close('stdout');
    expect(await exit).toBe(128 + SIGHUP);
    expect((await session.closed).stdout?.outcome).toBe('host-closed');
  });

  test('a host that closes stdout hangs a silent process up too', async () => {
    const { host, exit } = await run('exec sleep 1000');
    host.close('stdout');
    expect(await exit).toBe(128 + SIGHUP);
  });

  test('a slow host gets everything after the exit', async () => {
    const { host, session, exit } = await run('stty -onlcr; head -c 200000 /dev/zero', {
      policy: { grandchildMs: 1 },
    });
    const stdout = host.stream('stdout');
    // The terminal holds only a few KiB, so the process cannot end before it is read a little.
    let length = 0;
    for await (const chunk of stdout) {
      length += (chunk as Buffer).length;
      await turn();
    }
    expect(await exit).toBe(0);
    expect(length).toBe(200_000);
    expect((await session.closed).stdout).toEqual({ bytes: 200_000, outcome: 'drained' });
  });

  test('a background child that survives the hang-up is cut off the wait', async () => {
    const each = await run(`trap '' HUP; sleep 1000 & echo "pid $!."; exit 9`, {
      policy: { grandchildMs: 10 },
    });
    const { host, session, exit } = each;
    const [line] = (await once(host.stream('stdout'), 'data')) as [Buffer];
    expect(await exit).toBe(9);
    expect((await session.drained).stdout).toEqual({ bytes: line.length, outcome: 'cut' });
    process.kill(Number(/pid (\d+)\./.exec(String(line))?.[1]), SIGKILL);
    expect((await session.closed).stdout?.outcome).toBe('drained');
  });

  test('a terminal that somebody else holds is cut at the bound', async () => {
    const { connections, host } = await connect(['stdout']);
    const { master, path } = openPty();
    // No controlling terminal, so no end of a session hangs it up.
    const slave = openFile(path, fileFlags.O_RDWR | fileFlags.O_NOCTTY);
    const child = reaper().spawn({
      file: '/bin/echo',
      args: ['echo', 'x'],
      env: [],
      stdio: [slave.raw, slave.raw, slave.raw],
    });
    const policy = { grandchildMs: 5, hostCloseMs: 600_000 };
    const session = new TtyRelay({ connections, master, policy });
    await child.exited;
    session.processExited();
    expect(await session.drained).toEqual({ stdout: { bytes: 3, outcome: 'cut' } });
    slave.close();
    expect(await session.closed).toEqual({ stdout: { bytes: 3, outcome: 'drained' } });
    host.closeAll();
  });

  test('a process that closes all its descriptors before it ends is not hung up', async () => {
    // As programs do that look for write errors at their end, cat and head among them.
    const each = await run(
      'trap "kill $!; exit 5" USR1; echo x; exec <&- >&- 2>&-; sleep 1000 & while :; do wait; done',
    );
    const { host, session, exit, signal } = each;
    expect(String(await host.readAll('stdout'))).toBe('x\r\n');
    while (session.snapshot().stdout?.outcome === 'open') await turn();
    for (let i = 0; i < 50; i++) await turn();
    signal(SIGUSR1);
    expect(await exit).toBe(5);
    expect((await session.closed).stdout).toEqual({ bytes: 3, outcome: 'drained' });
  });

  test('abort hangs up', async () => {
    const { session, exit } = await run('exec sleep 1000');
    session.abort();
    expect(await exit).toBe(128 + SIGHUP);
    expect((await session.closed).stdout?.outcome).toBe('cut');
  });

  test('a log file gets a copy', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'gcs-tee-'));
    try {
      const path = join(directory, 'log');
      const tee = openFile(path, fileFlags.O_WRONLY | fileFlags.O_CREAT | fileFlags.O_APPEND);
      const { connections, host } = await connect(['stdout']);
      const { master, path: slave } = openPty();
      const child = reaper().spawn({
        file: '/bin/echo',
        args: ['echo', 'x'],
        env: [],
        stdio: [],
        terminal: slave,
      });
      const session = new TtyRelay({ connections, master, tee });
      void child.exited.then(() => session.processExited());
      expect(String(await host.readAll('stdout'))).toBe('x\r\n');
      await session.closed;
      expect(readFileSync(path, 'utf8')).toBe('x\r\n');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
