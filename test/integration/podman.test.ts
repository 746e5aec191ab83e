import { afterAll, beforeAll, expect, test } from 'vitest';
import { IMAGE, PodmanLab, RUN } from '../support/podman.ts';

let lab: PodmanLab;
beforeAll(async () => {
  lab = await PodmanLab.start();
});
afterAll(async () => {
  // Nothing may be left in the agent, in front of it or below it.
  expect((await lab.gcsOci(['list', '-q'])).out).toBe('');
  expect((await lab.run(['runc', 'list', '-q'])).out).toBe('');
  expect((await lab.run(['pgrep', '-f', 'gcs-oci stand-in'])).out).toBe('');
  await lab[Symbol.asyncDispose]();
});

test('podman run: streams apart, exit code, removed at the end', async () => {
  const script = 'echo out; echo err >&2; cat; exit 5';
  const ended = await lab.podman([...RUN, '--rm', '-i', IMAGE, 'sh', '-c', script], 'in\n');
  expect(ended).toEqual({ code: 5, out: 'out\nin\n', err: 'err\n' });
  expect((await lab.podman(['ps', '-aq'])).out).toBe('');
});

test('podman run: what the container is killed by', async () => {
  const ended = await lab.podman([...RUN, '--rm', IMAGE, 'sh', '-c', 'kill -KILL $$']);
  // Of a pid namespace's init nothing but the runtime can be killed from within.
  expect(ended.code).toBe(0);
  const named = ['--name=killed', IMAGE, 'sleep', '1000'];
  expect((await lab.podman([...RUN, '-d', ...named])).code).toBe(0);
  expect((await lab.podman(['kill', 'killed'])).code).toBe(0);
  expect((await lab.podman(['wait', 'killed'])).out).toBe('137\n');
  expect((await lab.podman(['rm', 'killed'])).code).toBe(0);
});

test('podman run: a program that is not there', async () => {
  const ended = await lab.podman([...RUN, '--rm', IMAGE, '/no/such/program']);
  expect(ended.code).toBe(127);
  expect(ended.err).toMatch(/no such file or directory/);
});

test('podman run -d, ps, logs, exec, inspect, stats, pause, stop, rm', async () => {
  const trap = 'trap "echo bye; exit 9" TERM; echo started; >/ready; while :; do sleep 0.05; done';
  const run = await lab.podman([...RUN, '-d', '--name=one', IMAGE, 'sh', '-c', trap]);
  expect(run.code, run.err).toBe(0);
  const followed = lab.podman(['logs', '--follow', 'one']);
  const rows = await lab.podman(['ps', '--format={{.Names}} {{.Status}}']);
  expect(rows.out).toMatch(/^one Up .*\n$/);

  const script = 'until [ -e /ready ]; do sleep 0.05; done; echo in; echo err >&2; exit 4';
  const exec = await lab.podman(['exec', 'one', 'sh', '-c', script]);
  expect(exec).toMatchObject({ code: 4, out: 'in\n' });
  expect(exec.err).toContain('err\n');
  const input = await lab.podman(['exec', '-i', 'one', 'wc', '-c'], 'x'.repeat(100_000));
  expect(input).toMatchObject({ code: 0, out: '100000\n' });

  const inspected = await lab.podman(['inspect', '--format={{.State.Pid}}', 'one']);
  expect(Number(inspected.out)).toBeGreaterThan(1);
  expect((await lab.podman(['top', 'one', 'args'])).out).toContain('sleep 0.05');

  expect((await lab.podman(['pause', 'one'])).code).toBe(0);
  expect((await lab.podman(['inspect', '--format={{.State.Status}}', 'one'])).out).toBe('paused\n');
  expect((await lab.podman(['unpause', 'one'])).code).toBe(0);

  const stopped = await lab.podman(['stop', '--time=20', 'one']);
  expect(stopped).toMatchObject({ code: 0, err: '' });
  expect((await lab.podman(['inspect', '--format={{.State.ExitCode}}', 'one'])).out).toBe('9\n');
  expect((await followed).out).toBe('started\nbye\n');
  expect((await lab.podman(['logs', 'one'])).out).toBe('started\nbye\n');
  expect((await lab.podman(['rm', 'one'])).code).toBe(0);
});

test('a stopped container is started again', async () => {
  const script = 'echo again; exit 3';
  await lab.podman([...RUN, '-d', '--name=twice', IMAGE, 'sh', '-c', script]);
  expect((await lab.podman(['wait', 'twice'])).out).toBe('3\n');
  const second = await lab.podman(['start', '--attach', 'twice']);
  expect(second).toMatchObject({ code: 3, out: 'again\n' });
  expect((await lab.podman(['rm', 'twice'])).code).toBe(0);
});

test('a container that ignores the stop signal is killed', async () => {
  const script = 'trap "" TERM; echo deaf; sleep 1000';
  await lab.podman([...RUN, '-d', '--name=deaf', IMAGE, 'sh', '-c', script]);
  expect((await lab.podman(['stop', '--time=1', 'deaf'])).code).toBe(0);
  expect((await lab.podman(['inspect', '--format={{.State.ExitCode}}', 'deaf'])).out).toBe('137\n');
  expect((await lab.podman(['rm', 'deaf'])).code).toBe(0);
});

test('podman run -it: keys, signals, size and its changes', async () => {
  // The size is told once somebody is attached, which is about when the container is started.
  const until = (size: string) => `until [ "$(stty size 2>&1)" = "${size}" ]; do sleep 0.05; done`;
  const script = `tty; ${until('33 91')}; echo first; ${until('21 72')}; echo changed; exec sh`;
  const argv = [...RUN, '--rm', '-it', '--replace', '--name=tty', IMAGE, 'sh', '-c', script];
  using terminal = lab.terminal(argv, { width: 91, height: 33 });
  await terminal.shows(/\/dev\/(pts\/0|console)\r\nfirst\r\n/);
  terminal.resize({ width: 72, height: 21 });
  await terminal.shows(/changed\r\n/);
  await terminal.shows(/# /);
  // The shell edits a line with signals off: only what the command prints shows that they are on again.
  terminal.type("echo o''n; sleep 1000\n");
  await terminal.shows(/\r\non\r\n/);
  terminal.type('\x03');
  await terminal.shows(/\^C/);
  terminal.type('echo code $?; exit 6\n');
  await terminal.shows(/code 130/);
  expect(await terminal.ended).toBe(6);
});

test('podman exec -it', async () => {
  await lab.podman([...RUN, '-d', '--name=shell', IMAGE, 'sleep', '1000']);
  using terminal = lab.terminal(['exec', '-it', 'shell', 'sh'], { width: 80, height: 25 });
  await terminal.shows(/# /);
  terminal.type('stty size; exit 8\n');
  await terminal.shows(/25 80\r\n/);
  expect(await terminal.ended).toBe(8);
  expect((await lab.podman(['rm', '--force', '--time=0', 'shell'])).code).toBe(0);
});
