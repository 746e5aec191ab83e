import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { useClientRootfs } from '../support/client-lab.ts';
import { gcsctl, PipedGcsctl, TerminalGcsctl } from '../support/gcsctl.ts';
import { useStandingAgent } from '../support/standing-agent.ts';
import { testVm } from '../support/suite.ts';

const rootfs = useClientRootfs();

describe('gcsctl on a standing agent', () => {
  const agent = useStandingAgent();

  const on = (command: string, ...argv: string[]) => [command, ...agent().address, ...argv];
  const run = (...argv: string[]) => on('run', '--rootfs', rootfs(), ...argv);
  const shell = (script: string) => ['--', 'sh', '-c', script];

  test('run gives stdin, stdout and stderr and exits with the code', async () => {
    const ended = await gcsctl(run('-i', ...shell('cat; echo err >&2; exit 42')), 'input');
    expect(ended).toEqual({ code: 42, out: 'input', err: 'err\n' });
  });

  test('run without -i gives no input, and 128 + N for a signal', async () => {
    const script = 'cat; sh -c "kill -KILL \\$\\$"; exit $?';
    expect(await gcsctl(run(...shell(script)), 'unread')).toMatchObject({ code: 137, out: '' });
  });

  test.each([
    ['/no/such', 127],
    ['no-such', 127],
    ['/etc/passwd', 126],
  ])('run of %s exits with %i and says why', async (program, code) => {
    const ended = await gcsctl(run('--', program));
    expect(ended).toMatchObject({ code, out: '' });
    expect(ended.err).toContain(program);
  });

  test('run of a missing root directory names it', async () => {
    const ended = await gcsctl(on('run', '--rootfs', '/no/rootfs', '--', 'true'));
    expect(ended.code).toBe(125);
    expect(ended.err).toContain('/no/rootfs');
  });

  test('run takes everything its options say', async () => {
    const script = 'id -u; id -g; hostname; pwd; echo $A; cat /data/x; touch /data/y; touch /z';
    // gcsctl looks names up in root directories that it can see.
    const group = testVm === undefined ? '0:tester' : '0:1000';
    const data = '/tmp/gcsctl-test-data';
    await agent().sh(`mkdir -p ${data} && echo mounted >${data}/x`);
    const ended = await gcsctl(
      run(
        ...['--user', group, '--hostname', 'box', '--cwd', '/new/dir', '-e', 'A=b c'],
        ...['--mount', `${data}:/data:ro`, '--memory', '64m', '--cpus', '1', '--pids', '50'],
        ...['--read-only', ...shell(script)],
      ).filter((word) => word !== '--read-only'),
    );
    expect(ended.out).toBe('0\n1000\nbox\n/new/dir\nb c\nmounted\n');
    expect(ended.err).toMatch(/\/data\/y: Read-only file system/);
    await agent().sh(`cd ${rootfs()} && rm -r ${data} new z`);
  });

  test('run of a bundle leaves the bundle as it was', async () => {
    const bundle = mkdtempSync(join(tmpdir(), 'gcsctl-bundle-'));
    const config = {
      ociVersion: '1.0.2',
      process: { terminal: true, args: ['echo', 'from the bundle'], cwd: '/', env: ['PATH=/bin'] },
      root: { path: rootfs() },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        // The root file system may lie where no device node works (nodev).
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
      ],
      linux: { namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'uts' }] },
    };
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(config));
    expect(await gcsctl(on('run', '--bundle', bundle))).toEqual({
      code: 0,
      out: 'from the bundle\n',
      err: '',
    });
    expect(await gcsctl(on('run', '-b', bundle, '--', 'echo', 'else'))).toMatchObject({
      out: 'else\n',
    });
    expect(readdirSync(bundle)).toEqual(['config.json']);
    rmSync(bundle, { recursive: true });
  });

  test('megabytes through stdin and stdout arrive unchanged', async () => {
    const text = randomBytes(3 << 20).toString('base64');
    expect(await gcsctl(run('-i', '--', 'cat'), text)).toEqual({ code: 0, out: text, err: '' });
  });

  test.each([
    'SIGINT',
    'SIGTERM',
    'SIGHUP',
    'SIGQUIT',
    'SIGUSR1',
    'SIGUSR2',
  ] as const)('%s goes on to the container', async (signal) => {
    const name = signal.slice(3);
    const script = `trap "echo got ${name}; exit 3" ${name}; echo ready; while :; do sleep 0.02; done`;
    const running = new PipedGcsctl(run(...shell(script)));
    await running.printed('ready');
    running.child.kill(signal);
    expect(await running.ended).toEqual({ code: 3, out: `ready\ngot ${name}\n`, err: '' });
  });

  test('a second SIGINT kills a container that takes no notice of the first', async () => {
    const script = 'trap "echo again" INT; echo ready; while :; do sleep 0.02; done';
    const running = new PipedGcsctl(run(...shell(script)));
    await running.printed('ready');
    running.child.kill('SIGINT');
    await running.printed('again');
    running.child.kill('SIGINT');
    expect(await running.ended).toMatchObject({ code: 137 });
  });

  test.each([
    'ping',
    'vm-exec',
  ])('%s interrupted while it waits leaves no socket', async (command) => {
    const directory = mkdtempSync(join(tmpdir(), 'gcsctl-test-'));
    const words = command === 'vm-exec' ? ['true'] : [];
    const path = join(directory, 'v');
    const waiting = new PipedGcsctl([command, '--host', path, '--timeout', '60', ...words]);
    while (readdirSync(directory).length === 0) await new Promise((r) => setTimeout(r, 5));
    waiting.child.kill('SIGTERM');
    expect(await waiting.ended).toMatchObject({ code: 143, out: '' });
    expect(readdirSync(directory)).toEqual([]);
    rmSync(directory, { recursive: true });
  });

  test('a reader that goes away ends the process by SIGPIPE', async () => {
    const running = new PipedGcsctl(run('--', 'yes'));
    await running.printed('y\n');
    running.child.stdout?.destroy();
    const { code, err } = await running.ended;
    expect([141, 1]).toContain(code);
    expect(err).not.toContain('gcsctl');
  });

  test('a container lives from create to delete over many calls', async () => {
    const script = 'trap "exit 5" USR1; echo up; while :; do sleep 0.02; done';
    const create = on('create', '--json', '--name', 'web', '--rootfs', rootfs(), ...shell(script));
    const made = await gcsctl(create);
    expect(JSON.parse(made.out)).toEqual({ id: 'web', bundle: '/run/gcs/c/web' });
    expect(await gcsctl(create)).toMatchObject({ code: 125, out: '' });
    const started = await gcsctl(on('start', '-d', '--json', 'web'));
    const { pid } = JSON.parse(started.out) as { pid: number };
    const processes = await gcsctl(on('ps', '--json', 'web'));
    expect(JSON.parse(processes.out)).toContainEqual(expect.objectContaining({ pid, init: true }));
    expect((await gcsctl(on('ps', 'web'))).out).toMatch(
      new RegExp(`PID +NAME +COMMAND\n${pid} +init +sh `),
    );
    expect(await gcsctl(on('update', '--pids', '40', 'web'))).toMatchObject({ code: 0 });
    const stats = await gcsctl(on('stats', '--json', 'web'));
    expect(JSON.parse(stats.out)).toMatchObject({ pids: { limit: 40 } });
    expect((await gcsctl(on('stats', 'web'))).out).toMatch(/^web .* \d+ \/ 40$/m);
    const exec = await gcsctl(
      on('exec', '-u', 'tester', '-i', 'web', '--', 'sh', '-c', 'id -un; cat; exit 6'),
      'x',
    );
    expect(exec).toEqual({ code: 6, out: 'tester\nx', err: '' });
    const missing = await gcsctl(on('exec', 'web', 'no-such'));
    expect(missing).toMatchObject({ code: 127 });
    const early = await gcsctl(on('wait', '--limit', '0.01', 'web'));
    expect(early).toMatchObject({ code: 125, err: expect.stringContaining('still runs') });
    const running = await gcsctl(on('delete', 'web'));
    expect(running).toMatchObject({ code: 125, err: expect.stringContaining('--force') });
    expect(await gcsctl(on('kill', '-s', 'USR1', 'web'))).toMatchObject({ code: 0 });
    expect(JSON.parse((await gcsctl(on('wait', '--json', 'web'))).out)).toEqual({
      id: 'web',
      pid,
      exitCode: 5,
    });
    expect(await gcsctl(on('kill', 'web'))).toMatchObject({ code: 125 });
    expect(await gcsctl(on('delete', 'web'))).toEqual({ code: 0, out: '', err: '' });
    expect((await gcsctl(on('ps', 'web'))).err).toContain('no container web');
  });

  test('start attaches to a created container, and delete --force ends a running one', async () => {
    const make = (id: string, ...command: string[]) =>
      gcsctl(on('create', '--name', id, '--rootfs', rootfs(), '--', ...command));
    expect(await make('a', 'sh', '-c', 'cat; exit 8')).toEqual({ code: 0, out: 'a\n', err: '' });
    expect(await gcsctl(on('start', '-i', 'a'), 'attached')).toEqual({
      code: 8,
      out: 'attached',
      err: '',
    });
    expect(await gcsctl(on('delete', 'a'))).toMatchObject({ code: 0 });
    await make('b', 'sleep', '1000');
    expect(await gcsctl(on('start', '-d', 'b'))).toMatchObject({ code: 0 });
    expect(await gcsctl(on('delete', '--force', 'b'))).toEqual({ code: 0, out: '', err: '' });
  });

  test('vm-exec runs beside the agent', async () => {
    const ended = await gcsctl(
      on(
        'vm-exec',
        '-i',
        '-e',
        'A=b',
        '--cwd',
        '/usr',
        '--',
        'sh',
        '-c',
        'cat; echo $A; pwd; exit 4',
      ),
      'in\n',
    );
    expect(ended).toEqual({ code: 4, out: 'in\nb\n/usr\n', err: '' });
    expect(await gcsctl(on('vm-exec', '/no/such'))).toMatchObject({ code: 127 });
  });

  test('ping and dump-stacks tell of the agent', async () => {
    const ping = await gcsctl(on('ping', '--json'));
    expect(JSON.parse(ping.out)).toMatchObject({
      version: 4,
      capabilities: { RuntimeOsType: 'Linux' },
    });
    expect((await gcsctl(on('negotiate'))).out).toMatch(/^guest +Linux$/m);
    const dump = await gcsctl(on('dump-stacks'));
    expect(dump).toMatchObject({ code: 0, err: '' });
    expect(dump.out.length).toBeGreaterThan(100);
  });

  describe('at a terminal', () => {
    const size = { width: 97, height: 33 };

    test('run -it gives size, keys and resizes, and puts the terminal back', async () => {
      const script =
        'stty size; until [ "$(stty size)" = "20 60" ]; do sleep 0.02; done; echo resized;' +
        'read x; echo "read <$x>"; exit 12';
      using terminal = new TerminalGcsctl(run('-it', ...shell(script)), size);
      // Exactly as the container's terminal wrote it: nothing is translated a second time.
      await terminal.shows(/33 97\r\n/);
      expect(terminal.settings()).not.toBe(terminal.settingsBefore);
      terminal.resize({ width: 60, height: 20 });
      await terminal.shows(/resized/);
      terminal.type('keys\r');
      await terminal.shows(/read <keys>/);
      expect(await terminal.ended).toBe(12);
      expect(terminal.settings()).toBe(terminal.settingsBefore);
    });

    test('Ctrl-C is a key for the container, not a signal for gcsctl', async () => {
      const script = 'trap "echo interrupted" INT; echo ready; read x; read x; exit 2';
      using terminal = new TerminalGcsctl(run('-it', ...shell(script)), size);
      await terminal.shows(/ready/);
      terminal.type('\x03');
      await terminal.shows(/interrupted/);
      terminal.type('\r\r');
      expect(await terminal.ended).toBe(2);
    });

    test('SIGTERM to gcsctl ends the container and puts the terminal back', async () => {
      using terminal = new TerminalGcsctl(run('-it', ...shell('echo ready; sleep 1000')), size);
      await terminal.shows(/ready/);
      terminal.child.kill('SIGTERM');
      expect(await terminal.ended).toBe(143);
      expect(terminal.settings()).toBe(terminal.settingsBefore);
    });

    test('without -i the terminal stays as it is', async () => {
      using terminal = new TerminalGcsctl(run('-t', ...shell('stty size; sleep 0.1')), size);
      await terminal.shows(/33 97/);
      expect(terminal.settings()).toBe(terminal.settingsBefore);
      expect(await terminal.ended).toBe(0);
    });

    test('exec -it is a terminal too', async () => {
      await gcsctl(on('create', '--name', 't', '--rootfs', rootfs(), '--', 'sleep', '1000'));
      await gcsctl(on('start', '-d', 't'));
      using terminal = new TerminalGcsctl(
        on('exec', '-it', 't', 'sh', '-c', 'stty size; read x; exit $x'),
        size,
      );
      await terminal.shows(/33 97/);
      terminal.type('9\r');
      expect(await terminal.ended).toBe(9);
      expect(terminal.settings()).toBe(terminal.settingsBefore);
      await gcsctl(on('delete', '-f', 't'));
    });
  });
});
