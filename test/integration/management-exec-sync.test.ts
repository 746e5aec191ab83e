import { expect, test } from 'vitest';
import { processGroup } from '../../src/os/process.ts';
import { operationLimits } from '../../src/uvm/management/limits.ts';
import { useVmLab } from '../support/vm-lab.ts';

const suite = useVmLab();
const idle = { args: 'exec sleep 1000' };

function sh(script: string) {
  return ['sh', '-c', script];
}

function words(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** Names of what runs in the container besides its init. */
async function left(): Promise<string[]> {
  const rows = await suite.lab.management.processes('c');
  return rows.filter((row) => row.processId !== 'init').map((row) => row.commandLine.join(' '));
}

test('a command gives its code and its outputs, apart', async () => {
  await suite.lab.run('c', idle);
  const result = await suite.lab.management.execSync('c', {
    args: sh('echo out; echo err >&2; exit 3'),
  });
  expect(result).toMatchObject({
    exitCode: 3,
    timedOut: false,
    stdoutTruncated: false,
    stderrTruncated: false,
    outputHeld: false,
    durationMs: expect.any(Number),
  });
  expect([words(result.stdout), words(result.stderr)]).toEqual(['out\n', 'err\n']);
});

test('environment, directory and user are the container’s, or those that are given', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', { ...idle, env: ['MARK=here'], cwd: '/tmp' });
  const args = sh('echo "$MARK $PWD $(id -u):$(id -g)"');
  expect(words((await management.execSync('c', { args })).stdout)).toBe('here /tmp 0:0\n');
  const given = await management.execSync('c', {
    args,
    env: ['MARK=there', 'PATH=/bin'],
    cwd: '/home',
    user: 'tester:audio',
  });
  expect(words(given.stdout)).toBe('there /home 1000:29\n');
  const nobody = management.execSync('c', { args, user: 'nobody-there' });
  await expect(nobody).rejects.toMatchObject({ code: 'invalid-argument' });
});

test('with a terminal both outputs are one', async () => {
  await suite.lab.run('c', idle);
  const result = await suite.lab.management.execSync('c', {
    args: sh('tty; echo err >&2; exit 2'),
    terminal: true,
  });
  expect(result.exitCode).toBe(2);
  expect(words(result.stdout)).toMatch(/^\/dev\/pts\/\d+\r\nerr\r\n$/);
  expect(result.stderr).toHaveLength(0);
});

test('an end by a signal is 128 and its number', async () => {
  await suite.lab.run('c', idle);
  const result = await suite.lab.management.execSync('c', { args: sh('kill -USR1 $$') });
  expect(result).toMatchObject({ exitCode: 138, timedOut: false });
});

test('what cannot be run says so', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', idle);
  await expect(management.execSync('c', { args: ['/no/such'] })).rejects.toThrow(/no such file/);
  await expect(management.execSync('c', { args: [] })).rejects.toThrow(/args/);
  await management.stop('c', { timeoutMs: 0 });
  await expect(management.execSync('c', { args: ['true'] })).rejects.toMatchObject({
    code: 'container-not-running',
  });
});

test('output beyond the bound is dropped, said to be, and holds nobody up', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', idle);
  const script =
    'printf 0123456789; dd if=/dev/zero bs=1M count=20 2>/dev/null; printf err >&2; exit 4';
  const bounded = await management.execSync('c', { args: sh(script), maxBytes: 10 });
  expect(bounded).toMatchObject({ exitCode: 4, stdoutTruncated: true, stderrTruncated: false });
  expect([words(bounded.stdout), words(bounded.stderr)]).toEqual(['0123456789', 'err']);
  const most = await management.execSync('c', { args: sh(script) });
  expect(most.stdoutTruncated).toBe(true);
  expect(most.stdout).toHaveLength(operationLimits.execSyncBytes);
  const exact = await management.execSync('c', { args: sh('printf 0123456789'), maxBytes: 10 });
  expect(exact).toMatchObject({ stdoutTruncated: false });
  const none = await management.execSync('c', { args: sh('echo x'), maxBytes: 0 });
  expect(none).toMatchObject({ exitCode: 0, stdoutTruncated: true });
  const tooMuch = management.execSync('c', { args: ['true'], maxBytes: 2 ** 30 });
  await expect(tooMuch).rejects.toThrow(/maxBytes/);
});

test('an exec’d process leads a group of its own', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', idle);
  const { pid } = await management.exec('c', {
    processId: 'x',
    process: { args: ['sleep', '1000'] },
  });
  expect(processGroup(pid)).toBe(pid);
});

test('when the time is up its whole group is killed and the output until then is there', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', idle);
  const script =
    'trap "" TERM; (trap "" TERM; sleep 991; sleep 992) & sleep 993 & echo before; wait';
  const result = await management.execSync('c', { args: sh(script), timeoutMs: 400 });
  expect(result).toMatchObject({ timedOut: true, exitCode: 137, outputHeld: false });
  expect(words(result.stdout)).toBe('before\n');
  expect(await left()).toEqual([]);
});

test('what is left in the group of one that has ended is killed when the time is up', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', idle);
  const result = await management.execSync('c', {
    args: sh('sleep 994 & echo before'),
    timeoutMs: 500,
  });
  expect(result).toMatchObject({ timedOut: true, exitCode: 0, outputHeld: false });
  expect(await left()).toEqual([]);
});

test('who was left behind and holds the output is waited for a while, not for ever, and lives on', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', idle);
  const result = await management.execSync('c', { args: sh('sleep 995 & echo before') });
  expect(result).toMatchObject({ timedOut: false, exitCode: 0, outputHeld: true });
  expect(words(result.stdout)).toBe('before\n');
  expect(await left()).toEqual(['sleep 995']);
});

test('a session of its own is not the command’s group: it lives on', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', idle);
  const script = 'setsid sleep 996 >/dev/null 2>&1 & exec sleep 997';
  const result = await management.execSync('c', { args: sh(script), timeoutMs: 400 });
  expect(result).toMatchObject({ timedOut: true, exitCode: 137 });
  expect(await left()).toEqual(['sleep 996']);
});

test('one that is given up is killed', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', idle);
  const controller = new AbortController();
  const running = management.execSync(
    'c',
    { args: ['sleep', '998'] },
    { signal: controller.signal },
  );
  await expect.poll(left).toEqual(['sleep 998']);
  controller.abort();
  await expect(running).rejects.toMatchObject({ code: 'cancelled' });
  expect(await left()).toEqual([]);
});

test('the end of the container is the end of the command', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', idle);
  const running = management.execSync('c', { args: ['sleep', '999'] });
  await expect.poll(left).toEqual(['sleep 999']);
  await management.delete('c', { force: true });
  expect(await running).toMatchObject({ exitCode: 137, timedOut: false });
});

test('twenty at one time do not mix', async () => {
  const { management } = suite.lab;
  await suite.lab.run('c', idle);
  const numbers = Array.from({ length: 20 }, (_, n) => n);
  const results = await Promise.all(
    numbers.map((n) => management.execSync('c', { args: sh(`echo ${n}; exit ${n}`) })),
  );
  expect(results.map(({ exitCode, stdout }) => [exitCode, words(stdout)])).toEqual(
    numbers.map((n) => [n, `${n}\n`]),
  );
});
