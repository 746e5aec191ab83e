/** init as a supervisor: on a machine that is not ours, with any program as the agent. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { initProgram } from '../support/init-lab.ts';
import { descendants, descriptors } from '../support/proc.ts';
import { Supervised } from '../support/supervised.ts';

/** Shell: goes on until the test closes its input; a trap runs at once. */
const idle = 'while :; do read -r _; [ $? != 1 ] || exit 9; done';

/** Shell: starts a script in a session of its own and says "orphan PID.START". */
function leave(script: string): string {
  return `setsid sh -c '${script}' </dev/null >/dev/null 2>&1 & echo "orphan $!.$(cut -d" " -f22 /proc/$!/stat)"`;
}

describe('an agent that ends', () => {
  test('by a signal is started again at once', async () => {
    await using supervised = Supervised.shell(`echo up; ${idle}`);
    await supervised.see(/up\n/);
    await supervised.killAgent();
    await supervised.see(/up\nup\n/);
    expect(supervised.messages.filter((line) => / ended, /.test(line))).toEqual([
      '/bin/sh ended, signal 9, again in 0 ms',
    ]);
  });

  test('again and again is started later each time', async () => {
    await using supervised = Supervised.shell('exit 3');
    await supervised.seeError(/again in 800 ms/);
    const delays = supervised.messages.flatMap(
      (line) => line.match(/again in (\d+) ms/)?.[1] ?? [],
    );
    expect(delays).toEqual(['0', '100', '200', '400', '800']);
    // Told to end, it does not wait for the next start.
    supervised.signal('SIGTERM');
    expect(await supervised.exited).toBe(3);
  });

  test.each([
    ['as it was asked to', 'exit 0', 0],
    ['for a wrong command line', 'exit 2', 2],
    ['for a program that cannot be executed', 'exec 2>/dev/null; exec /dev/null', 126],
    ['for a program that is missing', 'exec 2>/dev/null; exec /nonexistent', 127],
  ])('%s ends the supervisor', async (_, script, code) => {
    await using supervised = Supervised.shell(script);
    expect(await supervised.exited).toBe(code);
    expect(supervised.starts).toBe(1);
  });

  test('because it cannot even be started ends the supervisor', async () => {
    await using supervised = new Supervised(['/nonexistent']);
    expect(await supervised.exited).toBe(127);
    expect(supervised.errors).toContain('exec /nonexistent: No such file or directory');
  });
});

describe('told to end', () => {
  test.each([
    'SIGTERM',
    'SIGINT',
    'SIGHUP',
  ] as const)('by %s it tells the agent, and has its code', async (signal) => {
    await using supervised = Supervised.shell(`trap 'echo told; exit 7' TERM; echo up; ${idle}`);
    await supervised.see(/up/);
    supervised.signal(signal);
    expect(await supervised.exited).toBe(7);
    await supervised.see(/told/);
    expect(supervised.starts).toBe(1);
  });

  test('it waits for the agent, and a killed one counts as a shell would say', async () => {
    const script = `$| = 1; $SIG{TERM} = sub { print "told\\n" }; print "up\\n";
      1 while !defined($count = sysread STDIN, $_, 1) || $count;`;
    await using supervised = new Supervised(['perl', '-e', script]);
    await supervised.see(/up/);
    supervised.signal('SIGTERM');
    await supervised.see(/told/);
    process.kill(await supervised.agent(), 'SIGKILL');
    expect(await supervised.exited).toBe(137);
  });

  test('an agent that is stopped is woken for it', async () => {
    await using supervised = Supervised.shell(`echo up; kill -STOP $$; ${idle}`);
    await supervised.see(/up/);
    supervised.signal('SIGTERM');
    expect(await supervised.exited).toBe(143);
  });
});

describe('what a dead agent leaves behind', () => {
  test('is the supervisor’s: reaped, and its end recorded', async () => {
    await using supervised = Supervised.shell(
      `[ -e "$GCS_INIT_RUN/twice" ] && ${idle}; touch "$GCS_INIT_RUN/twice"
       ${leave('while [ ! -e $GCS_INIT_RUN/go ]; do sleep 0.01; done; exit 42')}
       ${idle}`,
    );
    const [, name = ''] = await supervised.see(/orphan (\S+)/);
    await supervised.killAgent();
    const pid = Number.parseInt(name, 10);
    expect(descendants(supervised.pid).map((each) => each.pid)).toContain(pid);
    writeFileSync(join(supervised.run, 'go'), '');
    await gone(pid);
    expect(supervised.records().get(name)).toMatch(/^1 42 \d+\n$/);
  });

  test('counts also when it had ended before, and nobody had collected it', async () => {
    // Perl collects nothing by itself, so that those that have ended are zombies.
    const script = `
      $| = 1;
      if (!mkdir "$ENV{GCS_INIT_RUN}/once") { print "again\\n"; <STDIN>; exit }
      for $code (1 .. 50) {
        if (!($pid = fork)) { exit $code }
        open S, "/proc/$pid/stat"; @stat = split / /, <S>; print "child $pid.$stat[21] $code\\n";
      }
      kill 9, $$;`;
    await using supervised = new Supervised(['perl', '-e', script]);
    await supervised.see(/again/);
    const children = [...supervised.output.matchAll(/^child (\S+) (\d+)$/gm)];
    expect(children).toHaveLength(50);
    for (const [, name = ''] of children) await gone(Number.parseInt(name, 10));
    const records = supervised.records();
    for (const [, name = '', code] of children) {
      expect(records.get(name)?.split(' ').slice(0, 2)).toEqual(['1', code]);
    }
  });

  test('is known to the next supervisor, and bounded', async () => {
    const run = mkdtempSync(join(tmpdir(), 'gcs-supervise-'));
    try {
      mkdirSync(join(run, 'exits'));
      for (let pid = 1; pid <= 4100; pid++) writeFileSync(join(run, `exits/${pid}.7`), '1 0 1\n');
      await using supervised = Supervised.shell(`echo up; ${idle}`, { run });
      await supervised.see(/up/);
      expect(readdirSync(join(run, 'exits'))).toHaveLength(4096);
    } finally {
      rmSync(run, { recursive: true });
    }
  });
});

describe('the agent', () => {
  test('has the streams, the directory, the limits and the signals of whoever called', async () => {
    await using supervised = Supervised.shell(
      `read -r line; echo "got $line"; pwd; ulimit -Sn; ulimit -Hn; umask
       grep ^SigBlk /proc/self/status; echo to err >&2
       echo "$GCS_INIT_FD $GCS_INIT_SUPERVISOR $PPID $GCS_INIT_RUN"; echo end; ${idle}`,
      { prefix: ['prlimit', '--nofile=500:900'], env: { GCS_INIT_FD: '9', GCS_INIT_OLD: 'x' } },
    );
    supervised.write('hello\n');
    await supervised.see(/end/);
    const { stdout } = spawnSync('sh', ['-c', 'umask; ls /proc/$$/fd'], { encoding: 'utf8' });
    const [umask, ...inherited] = stdout.trim().split('\n');
    // The channel, and nothing else of the supervisor's.
    const fds = [...descriptors(await supervised.agent()).keys()].map(String);
    expect(fds.toSorted()).toEqual([...new Set([...inherited, '3'])].toSorted());
    expect(supervised.output.split('\n').slice(0, 6)).toEqual([
      'got hello',
      process.cwd(),
      '500',
      '900',
      umask,
      'SigBlk:\t0000000000000000',
    ]);
    expect(supervised.output).toContain(`3 ${supervised.pid} ${supervised.pid} ${supervised.run}`);
    await supervised.seeError(/^to err$/m);
  });

  test('cannot power the machine off: a supervisor refuses', async () => {
    await using supervised = Supervised.storeAgent();
    expect(await supervised.ask('machine')).toBe(false);
    for (const request of ['poweroff', 'reboot']) {
      expect(await supervised.ask('request', request)).toBe('error not a machine of ours');
    }
    await supervised.ask('pid');
    // It goes on.
    await supervised.killAgent();
    await supervised.ask('pid');
  });
});

test('one directory has one supervisor', async () => {
  await using supervised = Supervised.shell(`echo up; ${idle}`);
  await supervised.see(/up/);
  await using second = Supervised.shell('echo up', { run: supervised.run });
  expect(await second.exited).toBe(1);
  expect(second.errors).toContain(`${supervised.run} is another supervisor's`);
  expect(second.output).toBe('');
});

test.each([
  [[], 'no program'],
  [['--run'], '--run needs an absolute path'],
  [['--run', 'here', '--', 'true'], '--run needs an absolute path'],
  [['--run', `/${'x'.repeat(255)}`, '--', 'true'], '--run: the path is too long'],
  [['true'], 'unknown argument'],
  [['--'], 'no program'],
])('a command line that makes no sense is refused: %j', (args, problem) => {
  const { status, stderr } = spawnSync(initProgram(), ['--supervise', ...args], {
    encoding: 'utf8',
  });
  expect(status).toBe(64);
  expect(stderr).toContain(`init: ${problem}\nusage: `);
});

test('a directory that cannot be made is named', () => {
  const args = ['--supervise', '--run', '/proc/none', '--', 'true'];
  const { status, stderr } = spawnSync(initProgram(), args, { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /init: mkdir \/proc\/none: .*\n.*open \/proc\/none\/exits: .*no exit records|no exit records/,
  );
});

/** Until nobody has this pid: it was collected, and recorded before. */
async function gone(pid: number): Promise<void> {
  const there = (): boolean => {
    try {
      readFileSync(`/proc/${pid}/stat`);
      return true;
    } catch {
      return false;
    }
  };
  while (there()) await new Promise((resolve) => setTimeout(resolve, 2));
}
