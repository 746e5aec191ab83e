/** The commands of gcsctl that go through the management door, as a user runs them. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { useClientRootfs } from '../support/client-lab.ts';
import { gcsctl, PipedGcsctl, TerminalGcsctl } from '../support/gcsctl.ts';
import { useStandingAgent } from '../support/standing-agent.ts';

const rootfs = useClientRootfs();
const size = { width: 90, height: 30 };

const agent = useStandingAgent();
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcsctl-test-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const on = (command: string, ...argv: string[]) => [
  ...command.split(' '),
  ...agent().address,
  ...argv,
];
const ctl = (command: string, ...argv: string[]) => gcsctl(on(command, ...argv));
const shell = (script: string) => ['--', 'sh', '-c', script];

async function out(command: string, ...argv: string[]): Promise<string> {
  const ended = await ctl(command, ...argv);
  expect(ended, `${command} ${argv.join(' ')}`).toMatchObject({ code: 0, err: '' });
  return ended.out;
}

const detached = (id: string, script: string, ...options: string[]) =>
  out('run', '-d', '--name', id, ...options, '--rootfs', rootfs(), ...shell(script));

/** Ends by SIGUSR1 with 3, and says so. */
const WAITING =
  'trap "echo bye; exit 3" USR1; echo up; echo problem >&2; while :; do sleep 0.02; done';

const removed = (...ids: string[]) => out('rm', '-f', ...ids);

describe('a container that runs by itself', () => {
  test('is listed, found by a beginning of its id, waited for and removed', async () => {
    expect(await detached('web-one', WAITING, '--annotation', 'role=front')).toBe('web-one\n');
    await detached('web-two', WAITING);
    expect(await out('ps')).toMatch(
      /^CONTAINER ID +STATUS +PID +CREATED +RUNTIME\nweb-one +Up .+ +\d+ +.+ ago +\w+\nweb-two /,
    );
    expect(await out('ps', '-q', '--filter', 'annotation=role=front')).toBe('web-one\n');
    const both = JSON.parse(await out('ps', '--format', 'json')) as { id: string; pid: number }[];
    expect(both.map(({ id }) => id)).toEqual(['web-one', 'web-two']);
    expect(await ctl('kill', 'web')).toMatchObject({
      code: 125,
      err: 'gcsctl: "web" is the beginning of several: web-one, web-two\n',
    });
    await out('kill', '-s', 'USR1', 'web-o');
    expect(await ctl('wait', 'web-o')).toEqual({ code: 3, out: '3\n', err: '' });
    expect(await out('ps', '-q')).toBe('web-two\n');
    expect(await out('ps', '-a', '--filter', 'status=stopped')).toMatch(
      /web-one +Exited \(3\) .* ago/,
    );
    expect(await ctl('rm', 'web-two')).toMatchObject({
      code: 125,
      err: 'gcsctl: web-two runs: end it with "gcsctl stop web-two", or remove it with --force\n',
    });
    await out('stop', '-t', '0.1', 'web-two', 'web-one');
    expect(await ctl('wait', '--json', 'web-one', 'web-two')).toMatchObject({ code: 0 });
    await out('rm', 'web-one', 'web-two');
    expect(await ctl('inspect', 'web-one')).toMatchObject({
      code: 125,
      out: '',
      err: 'gcsctl: no container web-one: "gcsctl ps -a" lists those there are\n',
    });
  });

  test('one that cannot be started leaves nothing', async () => {
    const argv = ['run', '-d', '--name', 'no', '--rootfs', rootfs(), '--', '/no/such'];
    expect(await ctl(argv[0] ?? '', ...argv.slice(1))).toMatchObject({ code: 127, out: '' });
    expect(await out('ps', '-aq')).toBe('');
  });

  test('a failure of one container does not keep the others from their turn', async () => {
    await detached('a', WAITING);
    const ended = await ctl('stop', '-t', '0', 'nope', 'a');
    expect(ended).toMatchObject({ code: 125, err: expect.stringContaining('no container nope') });
    expect(await out('ps', '-q')).toBe('');
    await removed('a');
  });

  test('is paused and resumed, looked into and changed', async () => {
    await detached('p', WAITING);
    await out('pause', 'p');
    expect(await out('ps')).toMatch(/p +Up .*\(paused\)/);
    expect(await ctl('exec', 'p', 'true')).toMatchObject({
      code: 125,
      err: 'gcsctl: p is paused: "gcsctl resume p" first\n',
    });
    await out('resume', 'p');
    const top = await out('top', 'p');
    expect(top).toMatch(/^PID +NAME +COMMAND\n\d+ +init +sh -c trap /);
    await out('update', '--pids', '77', '--memory', '64m', 'p');
    const stats = await out('stats', '--no-stream', '--interval', '0.1', 'p');
    expect(stats).toMatch(/^CONTAINER ID +CPU % +MEM USAGE \/ LIMIT +MEM % .* PIDS\n/);
    expect(stats).toMatch(/\np +\d+\.\d\d% +\S+ \/ 64\.0MiB .* \/ 77\n$/);
    const figures = JSON.parse(await out('stats', '--json', 'p'));
    expect(figures).toMatchObject({ id: 'p', pids: { limit: 77 }, network: expect.any(Array) });
    const [inspected] = JSON.parse(await out('inspect', 'p'));
    expect(inspected).toMatchObject({ id: 'p', status: 'running', spec: { process: {} } });
    await removed('p');
  });

  test('exec has the environment and directory of the container, and changes them', async () => {
    await detached('e', WAITING, '-e', 'FROM=container', '--cwd', '/tmp');
    expect(await out('exec', '-e', 'MORE=1', 'e', 'sh', '-c', 'echo $FROM $MORE; pwd')).toBe(
      'container 1\n/tmp\n',
    );
    expect(await out('exec', '-w', '/etc', '-u', '1000:1000', 'e', 'sh', '-c', 'pwd; id -u')).toBe(
      '/etc\n1000\n',
    );
    const name = await out('exec', '-d', '--process-id', 'side', 'e', 'sh', '-c', 'sleep 1000');
    expect(name).toBe('side\n');
    expect(await out('top', 'e')).toMatch(/side +sleep 1000|side +sh -c sleep/);
    await out('kill', '-s', 'KILL', '--process-id', 'side', 'e');
    expect(await ctl('wait', '--process-id', 'side', 'e')).toMatchObject({
      code: 137,
      out: '137\n',
    });
    await removed('e');
  });
});

describe('logs', () => {
  test('keep the streams apart, and show the end, times and what comes', async () => {
    await detached('l', WAITING);
    const following = new PipedGcsctl(on('logs', '-f', 'l'));
    await following.printed('up\n');
    expect(await ctl('logs', 'l')).toEqual({ code: 0, out: 'up\n', err: 'problem\n' });
    const timed = await ctl('logs', '--timestamps', '--since', '1h', 'l');
    expect(timed.out).toMatch(/^\d{4}-\d\d-\d\dT\S+Z up\n$/);
    expect(await ctl('logs', '--until', '2020-01-01', 'l')).toEqual({ code: 0, out: '', err: '' });
    await out('kill', '-s', 'USR1', 'l');
    expect(await following.ended).toEqual({ code: 0, out: 'up\nbye\n', err: 'problem\n' });
    expect(await out('logs', '--tail', '1', 'l')).toBe('bye\n');
    await removed('l');
  });

  test('a container without one is told of with the remedy', async () => {
    await detached('n', WAITING, '--log', 'none');
    const ended = await ctl('logs', 'n');
    expect(ended).toMatchObject({ code: 125, err: expect.stringContaining('gcsctl run -d') });
    await removed('n');
  });

  test.each(['logs -f', 'events -f'])('%s ends quietly by Ctrl-C', async (command) => {
    await detached('q', 'echo first; sleep 1000');
    const argv = command === 'logs -f' ? ['q'] : ['--since', '1', '--json'];
    const running = new PipedGcsctl(on(command, ...argv));
    await running.printed(command === 'logs -f' ? 'first' : '"start"');
    running.child.kill('SIGINT');
    expect(await running.ended).toMatchObject({ code: 130, err: '' });
    await removed('q');
  });

  test.each([
    'logs -f',
    'events -f',
    'stats --stream --json --interval 0.1',
  ])('%s ends when nobody reads it any more', async (command) => {
    await detached('r', 'while :; do echo more; sleep 0.02; done');
    const argv = command === 'logs -f' ? ['r'] : command === 'events -f' ? ['--since', '1'] : [];
    const running = new PipedGcsctl(on(command, ...argv));
    await running.printed(command === 'logs -f' ? 'more' : 'r');
    running.child.stdout?.destroy();
    // Something to write, which is when it learns of it.
    await out('pause', 'r');
    await out('resume', 'r');
    expect(await running.ended).toMatchObject({ code: 141, err: '' });
    await removed('r');
  });
});

test('events are shown from a number on, filtered, and followed', async () => {
  await detached('ev', 'exit 4');
  await ctl('wait', 'ev');
  const table = await out('events', '--filter', 'container=ev');
  expect(table).toMatch(
    /create +ev .*\n.*start +ev .*\n.*exit +ev +\(process=init, pid=\d+, exitCode=4\)/,
  );
  const lines = (await out('events', '--json', '--filter', 'container=ev')).trim().split('\n');
  const events = lines.map((line) => JSON.parse(line) as { sequence: number; kind: string });
  const exit = events.find(({ kind }) => kind === 'exit');
  const following = new PipedGcsctl(
    on('events', '-f', '--json', '--since', String(exit?.sequence), '--filter', 'container=ev'),
  );
  await following.printed('"exit"');
  await removed('ev');
  await following.printed('"delete"');
  following.child.kill('SIGTERM');
  const { code, out: text } = await following.ended;
  expect(code).toBe(143);
  expect(
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).kind),
  ).toEqual(['exit', 'delete']);
});

describe('cp', () => {
  const here = (name: string) => join(directory, name);

  beforeEach(async () => {
    await detached(
      'c',
      'mkdir -p /tmp/d/sub; echo x >/tmp/d/x; ln -sf d /tmp/l; echo ready; sleep 1000',
    );
    const ready = new PipedGcsctl(on('logs', '-f', 'c'));
    await ready.printed('ready');
    ready.child.kill('SIGINT');
    await ready.ended;
  });
  afterEach(async () => {
    await removed('c');
    await agent().sh(`rm -rf ${rootfs()}/tmp/*`);
  });

  const inside = (script: string) => out('exec', 'c', 'sh', '-c', script);

  test('takes a file to a directory, to a name and over another file', async () => {
    await out('cp', 'c:/tmp/d/x', directory);
    await out('cp', 'c:/tmp/d/x', here('y'));
    await out('cp', 'c:tmp/d/x', here('y'));
    expect([readFileSync(here('x'), 'utf8'), readFileSync(here('y'), 'utf8')]).toEqual([
      'x\n',
      'x\n',
    ]);
    expect(readdirSync(directory).sort()).toEqual(['x', 'y']);
  });

  test('takes a directory under its name, as another, or what is in it', async () => {
    mkdirSync(here('into'));
    await out('cp', 'c:/tmp/d', here('into'));
    await out('cp', 'c:/tmp/d', here('as'));
    await out('cp', 'c:/tmp/d/.', here('into'));
    expect(readdirSync(here('into')).sort()).toEqual(['d', 'sub', 'x']);
    expect(readdirSync(here('into/d')).sort()).toEqual(['sub', 'x']);
    expect(readdirSync(here('as')).sort()).toEqual(['sub', 'x']);
  });

  test('brings files and directories, through links of the container, under odd names', async () => {
    mkdirSync(here('from/deep'), { recursive: true });
    writeFileSync(here('from/a,b&[c]'), 'odd');
    writeFileSync(here('from/deep/f'), 'deep');
    await out('cp', here('from'), 'c:/tmp/d');
    await out('cp', `${here('from')}/.`, 'c:/tmp/l');
    await out('cp', here('from'), 'c:/tmp/new');
    await out('cp', here('from/a,b&[c]'), 'c:/tmp/e&,f');
    expect(
      await inside('cd /tmp; find . -type f | sort; cat "e&,f"; stat -c %u:%g new/deep/f'),
    ).toBe(
      [
        ...['./d/a,b&[c]', './d/deep/f', './d/from/a,b&[c]', './d/from/deep/f', './d/x'],
        ...['./e&,f', './new/a,b&[c]', './new/deep/f', 'odd0:0\n'],
      ].join('\n'),
    );
  });

  test('gives and takes archives', async () => {
    const archive = new PipedGcsctl(on('cp', 'c:/tmp/d', '-'));
    const { out: tar, code } = await archive.ended;
    expect(code).toBe(0);
    const names = execFileSync('tar', ['-t'], { input: tar, encoding: 'utf8' });
    expect(names.trim().split('\n').sort()).toEqual(['d/', 'd/sub/', 'd/x']);
    mkdirSync(here('t'));
    writeFileSync(here('t/one'), '1');
    const packed = execFileSync('tar', ['-c', '-C', here('t'), 'one']);
    expect(await gcsctl(on('cp', '-', 'c:/tmp/d/sub'), packed)).toMatchObject({ code: 0, err: '' });
    expect(await inside('cat /tmp/d/sub/one')).toBe('1');
  });

  test.each([
    ['c:/no/such', '.', 'c:/no/such: no such file or directory in the container'],
    ['c:/tmp/d', '/no/such/x', '/no/such is no directory here'],
    ['/no/such', 'c:/tmp', '/no/such: no such file or directory here'],
    ['/proc/self', 'c:/tmp/d/x', 'c:/tmp/d/x is no directory, and /proc/self is one'],
    ['/proc/version', 'c:/no/such/x', 'c:/no/such: no such file or directory in the container'],
    ['/proc/version', 'nope:/x', 'no container nope'],
  ])('cp %s %s says why not', async (from, to, message) => {
    const ended = await ctl('cp', from, to === '.' ? directory : to);
    expect(ended).toMatchObject({ code: 125, out: '', err: expect.stringContaining(message) });
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('attach', () => {
  const chat = 'while read x; do echo "got <$x>"; [ "$x" = end ] && exit 6; done';

  test('two terminals see the same, either types, one leaves and the other stays', async () => {
    await detached('t', `stty -echo; echo up; ${chat}`, '-t', '-i');
    using first = new TerminalGcsctl(on('attach', 't'), size);
    using second = new TerminalGcsctl(on('attach', 't'), size);
    // Attached is who sees what comes: ask until both have seen it.
    await Promise.all([answered(first), answered(second)]);
    second.type('\x10\x11');
    await second.shows(/detached from t, which goes on/);
    expect(await second.ended).toBe(0);
    expect(second.settings()).toBe(second.settingsBefore);
    first.type('end\r');
    await first.shows(/got <end>/);
    expect(await first.ended).toBe(6);
    expect(first.settings()).toBe(first.settingsBefore);
    await removed('t');
  });

  async function answered(terminal: TerminalGcsctl): Promise<void> {
    const seen = terminal.shows(/got <hello>/).then(() => true);
    do terminal.type('hello\r');
    while (!(await Promise.race([seen, new Promise<false>((r) => setTimeout(r, 200, false))])));
  }

  test('a terminal that is closed leaves the container running', async () => {
    await detached('h', `stty -echo; ${chat}`, '-t', '-i');
    using terminal = new TerminalGcsctl(on('attach', 'h'), size);
    await answered(terminal);
    terminal.child.kill('SIGHUP');
    expect(await terminal.ended).toBe(129);
    expect(terminal.settings()).toBe(terminal.settingsBefore);
    expect(await out('ps', '-q')).toBe('h\n');
    await removed('h');
  });

  test('without a terminal: stdin and both outputs, and signals go to the process', async () => {
    await detached('s', `trap "echo int; exit 9" INT; ${chat}; while :; do sleep 0.02; done`, '-i');
    const attached = new PipedGcsctl(on('attach', 's'));
    attached.child.stdin?.write('one\n');
    await attached.printed('got <one>\n');
    attached.child.stdin?.write('end\n');
    expect(await attached.ended).toEqual({ code: 6, out: 'got <one>\ngot <end>\n', err: '' });
    await removed('s');
  });

  test('--no-sig-proxy ends gcsctl alone', async () => {
    await detached('g', 'trap "" INT; while :; do echo tick; sleep 0.05; done');
    const attached = new PipedGcsctl(on('attach', '--no-sig-proxy', '--no-stdin', 'g'));
    await attached.printed('tick');
    attached.child.kill('SIGINT');
    expect(await attached.ended).toMatchObject({ code: 130 });
    expect(await out('ps', '-q')).toBe('g\n');
    await removed('g');
  });

  test('what has its streams elsewhere cannot be attached to', async () => {
    const run = new PipedGcsctl(
      on('run', '--name', 'own', '--rootfs', rootfs(), ...shell('echo up; sleep 1000')),
    );
    await run.printed('up');
    expect(await ctl('attach', 'own')).toMatchObject({ code: 125, out: '' });
    await out('kill', '-s', 'KILL', 'own');
    expect(await run.ended).toEqual({ code: 137, out: 'up\n', err: '' });
  });
});

describe('at a terminal', () => {
  test('stats is drawn anew until Ctrl-C, and leaves the terminal as it was', async () => {
    await detached('live', WAITING);
    using terminal = new TerminalGcsctl(on('stats', '--interval', '0.1'), size);
    // Drawn from the top, and once more with the share of the time between.
    await terminal.shows(
      /\[HCONTAINER ID[\s\S]*live .*[\s\S]*\[HCONTAINER ID[\s\S]*live +\d+\.\d\d%/,
    );
    terminal.type('\x03');
    expect(await terminal.ended).toBe(130);
    expect(terminal.settings()).toBe(terminal.settingsBefore);
    await removed('live');
  });

  test('exec -it follows the window and passes keys', async () => {
    await detached('w', WAITING);
    const script =
      'stty size; until [ "$(stty size)" = "20 60" ]; do sleep 0.02; done; read x; exit $x';
    using terminal = new TerminalGcsctl(on('exec', '-it', 'w', 'sh', '-c', script), size);
    await terminal.shows(/30 90/);
    terminal.resize({ width: 60, height: 20 });
    terminal.type('7\r');
    expect(await terminal.ended).toBe(7);
    expect(terminal.settings()).toBe(terminal.settingsBefore);
    await removed('w');
  });
});

test('start says why a container cannot be started, and attaches with -i', async () => {
  await out('create', '-i', '--name', 'st', '--rootfs', rootfs(), ...shell('cat; exit 8'));
  const started = await gcsctl(on('start', '-i', 'st'), 'input');
  expect(started).toEqual({ code: 8, out: 'input', err: '' });
  expect(await out('logs', 'st')).toContain('input');
  expect(await ctl('start', 'st')).toMatchObject({
    code: 125,
    err: 'gcsctl: st is stopped, and a container runs once: "gcsctl create" makes another\n',
  });
  await out('delete', 'st');
});

describe('system', () => {
  test('info, health, metrics, stacks and the log level', async () => {
    expect(await out('system info')).toMatch(/^agent +\S+, pid \d+, started .* ago$/m);
    expect(JSON.parse(await out('system info', '--json'))).toMatchObject({
      containers: { total: 0 },
      runtimes: expect.any(Array),
    });
    expect((await ctl('system health')).out).toMatch(/^RuntimeReady +ok/m);
    expect(await out('system metrics')).toContain('# TYPE gcs_containers gauge');
    expect(await out('system stacks')).toContain('system.stacks');
    expect(await out('dump-stacks', '--bridge')).not.toBe('');
    const before = await out('system log-level');
    expect(await out('system log-level', 'debug')).toBe('debug\n');
    expect(await out('system log-level', before.trim())).toBe(before);
  });

  test('profile saves a whole file or none', async () => {
    const file = join(directory, 'agent.cpuprofile');
    await out('system profile', '--seconds', '1', file);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toHaveProperty('nodes');
    const failed = await ctl('system profile', '--seconds', '1', '/no/such/file');
    expect(failed).toMatchObject({ code: 125, err: expect.stringContaining('/no/such/file') });
    const given = join(directory, 'given-up');
    const running = new PipedGcsctl(on('system profile', '--seconds', '300', given));
    while (!existsSync(given)) await new Promise((r) => setTimeout(r, 10));
    running.child.kill('SIGINT');
    expect(await running.ended).toMatchObject({ code: 130 });
    expect(existsSync(given)).toBe(false);
  });
});

test('the shell is offered ids, commands and options', async () => {
  await detached('alpha', WAITING);
  const words = async (...typed: string[]) =>
    (await gcsctl(['__complete', '--', ...typed])).out
      .split('\n')
      .map((line) => line.split('\t')[0]);
  expect(await words('exec', ...agent().address, 'al')).toContain('alpha');
  expect(await words('rm', ...agent().address, 'x', '')).toContain('alpha');
  expect(await words('exec', ...agent().address, 'alpha', '')).toContain(':files');
  await removed('alpha');
});
