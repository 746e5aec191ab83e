import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readCriLog } from '../../test/support/cri-log.ts';
import { MemoryStore } from '../../test/support/memory-store.ts';
import { requireNothingLeft, useReaper } from '../../test/support/process-suite.ts';
import { connect, type HostEnds, sh } from '../../test/support/stdio-rig.ts';
import { pipe } from '../os/pipe.ts';
import { type Child, exitCodeOf } from '../os/process.ts';
import { openPty } from '../os/pty.ts';
import { type CriLog, openCriLog } from './cri-log.ts';
import { StdioKeeper } from './keeper.ts';
import { PipeRelay } from './pipe-relay.ts';
import { ProcessPipes } from './process-pipes.ts';
import { closeStreams, fetchStreams, resumeSession } from './resume.ts';
import { type StdioSession, type StreamName, streamNames } from './stdio.ts';

const { SIGHUP, SIGKILL, SIGPIPE } = constants.signals;
const policy = { grandchildMs: 600_000, hostCloseMs: 600_000 };
const env = [`PATH=${process.env.PATH}`];

requireNothingLeft();
const reaper = useReaper();

let store: MemoryStore;
let directory: string;
let sessions: StdioSession[];
let children: Child[];
let hosts: HostEnds[];

beforeEach(() => {
  store = new MemoryStore();
  directory = mkdtempSync(join(tmpdir(), 'gcs-resume-'));
  sessions = [];
  children = [];
  hosts = [];
});
afterEach(async () => {
  for (const child of children) child.signal(SIGKILL);
  for (const host of hosts) host.closeAll();
  for (const session of sessions) session.abort();
  for (const session of sessions) await session.closed;
  store[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

/** A process with pipes, of an agent that was killed before its relays moved a byte. */
async function leavePiped(
  script: string,
  streams: readonly StreamName[] = streamNames,
): Promise<{ child: Child; host: HostEnds }> {
  const keeper = new StdioKeeper(store, 1);
  const { connections: dialed, host } = await connect(streams);
  hosts.push(host);
  const connections = dialed.keptBy(keeper);
  using pipes = new ProcessPipes({ stdin: true, stdout: true, stderr: true }, 'dev-null', keeper);
  const args = sh(script);
  const child = reaper().spawn({ file: '/bin/sh', args, env, stdio: pipes.stdio });
  children.push(child);
  const { stdin, stdout, stderr } = connections.take();
  store.closeAsKilled([stdin, stdout, stderr, ...Object.values(pipes.takeAgentEnds())]);
  return { child, host };
}

/** The same of one on a terminal, with something under way in both directions. */
async function leaveOnTerminal(
  script: string,
  underWay: { out: string; in: string },
): Promise<{ child: Child; host: HostEnds }> {
  const keeper = new StdioKeeper(store, 1);
  const { connections: dialed, host } = await connect(['stdin', 'stdout']);
  hosts.push(host);
  const connections = dialed.keptBy(keeper);
  const { master, path } = openPty();
  const kept = keeper.keep('terminal', 'p', master);
  const child = reaper().spawn({
    file: '/bin/sh',
    args: sh(script),
    env,
    stdio: [],
    terminal: path,
  });
  children.push(child);
  const through = [keeper.keepPipe('stdin', pipe()), keeper.keepPipe('stdout', pipe())];
  for (const [index, text] of [underWay.in, underWay.out].entries())
    if (text !== '') writeSync(through[index]?.write.raw ?? -1, text);
  const { stdin, stdout } = connections.take();
  store.closeAsKilled([
    stdin,
    stdout,
    kept,
    ...through.flatMap(({ read, write }) => [read, write]),
  ]);
  return { child, host };
}

async function resume(
  child: Child,
  options: { terminal?: boolean; criLog?: CriLog; outliveHost?: boolean } = {},
): Promise<{ session: StdioSession; exit: Promise<number> }> {
  const { terminal = false, ...output } = options;
  const session = resumeSession(await fetchStreams(store, 1), { terminal, policy, ...output });
  sessions.push(session);
  const exit = child.exited.then((status) => {
    session.processExited();
    return exitCodeOf(status);
  });
  return { session, exit };
}

describe('streams that an agent left behind', () => {
  test('go on: input, output and the ends of both', async () => {
    const { child, host } = await leavePiped('cat; echo error >&2; exit 3');
    const { session, exit } = await resume(child);
    host.stream('stdin').end('echoed');
    const [out, error] = await Promise.all([host.readAll('stdout'), host.readAll('stderr')]);
    expect([String(out), String(error), await exit]).toEqual(['echoed', 'error\n', 3]);
    expect(await session.closed).toMatchObject({
      stdin: { outcome: 'drained' },
      stdout: { bytes: 6, outcome: 'drained' },
    });
    expect(await store.names()).toEqual([]);
  });

  test('are those of the number asked for', async () => {
    const { child, host } = await leavePiped('echo out');
    const other = new StdioKeeper(store, 11).keepPipe('stdin', pipe());
    const { session } = await resume(child);
    expect(String(await host.readAll('stdout'))).toBe('out\n');
    host.closeAll();
    await session.closed;
    expect(await store.names()).toEqual(['s11.0.m']);
    store.closeAsKilled([other.read, other.write]);
  });

  test('a process that ended meanwhile: what it wrote arrives, and its end', async () => {
    const { child, host } = await leavePiped('echo last words; exit 5', ['stdout']);
    await child.exited;
    const { session, exit } = await resume(child);
    expect(String(await host.readAll('stdout'))).toBe('last words\n');
    expect(await exit).toBe(5);
    expect((await session.drained).stdout?.outcome).toBe('drained');
  });

  test('a host that closed meanwhile: the process gets SIGPIPE', async () => {
    const { child, host } = await leavePiped('exec yes');
    host.closeAll();
    const { exit } = await resume(child);
    expect(await exit).toBe(128 + SIGPIPE);
  });

  test('stdin that the process has closed: the host can write without an error until the process ends', async () => {
    const { child, host } = await leavePiped('exec 0<&-; echo closed; exec sleep 1000');
    store.drop('s1.0.p');
    const { session, exit } = await resume(child);
    await once(host.stream('stdout'), 'data');
    expect(session.snapshot().stdin).toEqual({ bytes: 0, outcome: 'process-closed' });
    const stdin = host.stream('stdin');
    stdin.write('nobody reads this');
    for (let i = 0; i < 50; i++) await turn();
    expect(stdin.errored).toBe(null);
    const failed = once(stdin, 'error');
    expect(stdin.write(Buffer.alloc(4_000_000))).toBe(false);
    child.signal(SIGKILL);
    await exit;
    expect(await failed).toMatchObject([{ code: expect.stringMatching(/EPIPE|ECONNRESET/) }]);
  });

  test('an agent killed while it closed a stream: it is closed', async () => {
    const { child, host } = await leavePiped('exec >&- 2>&-; exec sleep 1000', [
      'stdout',
      'stderr',
    ]);
    store.drop('s1.1.p');
    const { session } = await resume(child);
    const out = await host.readAll('stdout');
    expect(out.length).toBe(0);
    expect(session.snapshot().stdout).toBe(undefined);
    expect((await store.names()).filter((name) => name.startsWith('s1.1'))).toEqual([]);
  });

  test('that nobody wants any more are closed: the process sees it, and the host', async () => {
    const { child, host } = await leavePiped('cat; exit 4');
    closeStreams(await fetchStreams(store, 1));
    expect(exitCodeOf(await child.exited)).toBe(4);
    for (const name of ['stdout', 'stderr'] as const)
      expect((await host.readAll(name)).length).toBe(0);
    expect(await store.names()).toEqual([]);
  });

  test('names that are none of a stream are dropped', async () => {
    const ends = pipe();
    for (const name of ['s1.3.p', 's1.0.l', 's1.x', 's1.0.m', 's1.2.m', 's1.t.h'])
      store.keep(name, [ends.read]);
    closeStreams(await fetchStreams(store, 1));
    expect(await store.names()).toEqual([]);
    for (const fd of [ends.read, ends.write]) fd.close();
  });
});

describe('a terminal that an agent left behind', () => {
  test('goes on with what was under way in both directions', async () => {
    const { child, host } = await leaveOnTerminal('stty raw -echo; head -c 12; exit 6', {
      out: 'taken ',
      in: 'typed ',
    });
    const { session, exit } = await resume(child, { terminal: true });
    const all = host.readAll('stdout');
    host.stream('stdin').write('by it!');
    expect(await exit).toBe(6);
    const shown = String(await all);
    expect(shown.startsWith('taken ')).toBe(true);
    expect(shown.endsWith('typed by it!')).toBe(true);
    session.resize({ width: 10, height: 10 });
    await session.closed;
    expect(await store.names()).toEqual([]);
  });

  test('is hung up when the host closes it: the processes get SIGHUP although the store has it too', async () => {
    const { child, host } = await leaveOnTerminal('exec sleep 1000', { out: '', in: '' });
    const { session, exit } = await resume(child, { terminal: true });
    host.close('stdout');
    expect(await exit).toBe(128 + SIGHUP);
    await session.closed;
    expect(await store.names()).toEqual([]);
  });

  test('that was hung up stays so', async () => {
    const { child, host } = await leaveOnTerminal('exec sleep 1000', { out: '', in: '' });
    store.drop('s1.t.p');
    const { session, exit } = await resume(child, { terminal: true });
    expect(await exit).toBe(128 + SIGHUP);
    expect((await host.readAll('stdout')).length).toBe(0);
    await session.closed;
    expect(await store.names()).toEqual([]);
  });
});

describe('a stream with a log', () => {
  const logPath = (): string => join(directory, 'log');

  test('goes on into it when the host closes its connection', async () => {
    using criLog = openCriLog(logPath());
    const { child, host } = await leavePiped(
      'echo one; read line; echo two; echo three >&2; exit 7',
    );
    const { session, exit } = await resume(child, { criLog, outliveHost: true });
    await once(host.stream('stdout'), 'data');
    host.close('stdout');
    host.close('stderr');
    while ((await store.names()).includes('s1.1.h')) await turn();
    host.stream('stdin').end('go\n');
    expect(await exit).toBe(7);
    expect((await session.drained).stdout).toEqual({ bytes: 8, outcome: 'drained' });
    const entries = readCriLog(logPath());
    expect(entries.map(({ stream, bytes }) => `${stream} ${bytes}`).sort()).toEqual([
      'stderr three\n',
      'stdout one\n',
      'stdout two\n',
    ]);
  });

  test('without any connection it is read into the log', async () => {
    using criLog = openCriLog(logPath());
    const { child } = await leavePiped('head -c 3000000 /dev/zero; echo; exit 0', []);
    const { session, exit } = await resume(child, { criLog });
    expect(await exit).toBe(0);
    expect((await session.closed).stdout).toEqual({ bytes: 3_000_001, outcome: 'drained' });
    const bytes = readCriLog(logPath()).map((entry) => entry.bytes);
    expect(Buffer.concat(bytes).length).toBe(3_000_001);
  });

  test('on a terminal: a host that closes it does not hang it up', async () => {
    using criLog = openCriLog(logPath());
    const { child, host } = await leaveOnTerminal('echo one; read line; echo two $line; exit 8', {
      out: 'zero\n',
      in: '',
    });
    const { session, exit } = await resume(child, { terminal: true, criLog, outliveHost: true });
    await once(host.stream('stdout'), 'data');
    host.close('stdout');
    while ((await store.names()).includes('s1.1.h')) await turn();
    host.stream('stdin').write('typed\n');
    expect(await exit).toBe(8);
    await session.closed;
    const text = readFileSync(logPath(), 'utf8');
    expect(text).toMatch(/zero\n/);
    expect(text).toMatch(/two typed/);
  });
});

test('what is kept is dropped again by the streams of an agent that lives', async () => {
  const keeper = new StdioKeeper(store, 1);
  const { connections: dialed, host } = await connect(streamNames);
  hosts.push(host);
  const connections = dialed.keptBy(keeper);
  using pipes = new ProcessPipes({ stdin: true, stdout: true, stderr: true }, 'dev-null', keeper);
  expect((await store.names()).sort()).toEqual([
    's1.0.h',
    's1.0.p',
    's1.1.h',
    's1.1.p',
    's1.2.h',
    's1.2.p',
  ]);
  const child = reaper().spawn({
    file: '/bin/sh',
    args: sh('cat; exit 2'),
    env,
    stdio: pipes.stdio,
  });
  pipes.closeProcessEnds();
  const session = new PipeRelay({ connections, pipes: pipes.takeAgentEnds(), policy });
  sessions.push(session);
  void child.exited.then(() => session.processExited());
  host.stream('stdin').end('x');
  expect(String(await host.readAll('stdout'))).toBe('x');
  await host.readAll('stderr');
  expect(exitCodeOf(await child.exited)).toBe(2);
  await session.closed;
  expect(await store.names()).toEqual([]);
});
