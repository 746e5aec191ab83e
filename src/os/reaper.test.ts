import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, stat } from 'node:fs';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pipe } from './pipe.ts';
import { type Child, processState } from './process.ts';
import { Reaper } from './reaper.ts';

const env = ['PATH=/usr/local/bin:/usr/bin:/bin'];
let reaper: Reaper;
beforeEach(() => {
  reaper = Reaper.start();
});
afterEach(() => {
  expect(reaper.watched).toBe(0);
  reaper[Symbol.dispose]();
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Until a condition holds that only the event loop's own turns can bring about. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

function shell(script: string): Child {
  return reaper.spawn({ file: 'sh', args: ['sh', '-c', script], env, stdio: [null, null, 2] });
}

// Not a shell, which now and then collects its own background children.
const FORK =
  '$| = 1; if (!($pid = fork)) { open STDOUT, ">/dev/null"; exec "sh", "-c", $ARGV[0] } print $pid;';

/** Starts a process with `FORK` in it, and returns the inner pid, which it writes. */
function startParent(rest: string, script: string): { parent: Child; pid: number } {
  const { read, write } = pipe();
  using from = read;
  const parent = reaper.spawn({
    file: 'perl',
    args: ['perl', '-e', `${FORK} close STDOUT; ${rest}`, script],
    env,
    stdio: [null, write.raw, 2],
  });
  write.close();
  return { parent, pid: Number(readFileSync(from.raw, 'utf8')) };
}

/** Runs a command that leaves a process behind. The command has ended and was collected. */
async function leaveBehind(script: string): Promise<number> {
  const { parent, pid } = startParent('', script);
  expect(await parent.exited).toEqual({ kind: 'exited', code: 0 });
  return pid;
}

function ppid(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
}

describe('spawned children', () => {
  test.each([0, 1, 127, 128, 137, 255])('exit code %d is exact', async (code) => {
    const child = shell(`exit ${code}`);
    expect(child.status).toBeUndefined();
    expect(await child.exited).toEqual({ kind: 'exited', code });
    expect(child.status).toEqual({ kind: 'exited', code });
  });

  test.each([1, 2, 9, 13, 15, 34, 64])('signal %d is exact', async (signal) => {
    const child = shell('read -r forever < /dev/zero; kill -STOP $$');
    expect(child.signal(signal)).toBe(true);
    expect(await child.exited).toEqual({ kind: 'signaled', signal, coreDumped: false });
  });

  test('a signal after the end is false, and one that does not exist throws', async () => {
    const child = shell('kill -STOP $$');
    expect(() => child.signal(65)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    expect(child.signal(0)).toBe(true);
    expect(child.signal(9)).toBe(true);
    while (processState(child.pid) !== 'Z');
    // Ended, not yet collected: the kernel would take the signal and drop it.
    expect(child.status).toBeUndefined();
    expect(child.signal(15)).toBe(false);
    await child.exited;
    expect(child.signal(15)).toBe(false);
  });

  test('thousands of results come in any order, each to its own', async () => {
    const children = Array.from({ length: 300 }, (_, index) => shell(`exit ${index % 256}`));
    const statuses = await Promise.all(children.map((child) => child.exited));
    expect(statuses).toEqual(children.map((_, index) => ({ kind: 'exited', code: index % 256 })));
  });
});

describe('an end that is told before it is collected', () => {
  test.each([
    'exit 12',
    'kill -9 $$',
  ])('%s: the owner has it while the kernel still does', async (script) => {
    const child = shell(script);
    const seen: unknown[] = [];
    const before = BigInt(Date.now()) * 1_000_000n;
    child.beforeCollect = (end) => {
      seen.push(end, processState(child.pid), child.status);
    };
    const status = await child.exited;
    expect(seen).toEqual([child.ended, 'Z', undefined]);
    expect(child.ended).toEqual({ status, endedAtNs: expect.any(BigInt), reason: undefined });
    expect((child.ended?.endedAtNs ?? 0n) >= before).toBe(true);
    expect(processState(child.pid)).toBeUndefined();
  });

  test('also for one that was adopted', async () => {
    using hold = reaper.hold();
    const child = reaper.adopt(await leaveBehind('exit 42'));
    const states: unknown[] = [];
    child.beforeCollect = () => states.push(processState(child.pid));
    hold[Symbol.dispose]();
    expect(await child.exited).toEqual({ kind: 'exited', code: 42 });
    expect(states).toEqual(['Z']);
  });

  test('an owner that throws is heard of, and the process collected all the same', async () => {
    const heard = once(process, 'uncaughtException');
    const listeners = process.listeners('uncaughtException');
    // Vitest's own would fail the run.
    for (const each of listeners.slice(0, -1)) process.off('uncaughtException', each);
    try {
      const child = shell('exit 13');
      child.beforeCollect = () => {
        throw new Error('disk full');
      };
      expect(await child.exited).toEqual({ kind: 'exited', code: 13 });
      expect((await heard)[0]).toMatchObject({ message: 'disk full' });
      expect(processState(child.pid)).toBeUndefined();
    } finally {
      for (const each of listeners.slice(0, -1)) process.on('uncaughtException', each);
    }
  });
});

describe('adopted processes', () => {
  test('one that lives is watched from then on', async () => {
    using hold = reaper.hold();
    const pid = await leaveBehind('exec sleep 1000');
    const child = reaper.adopt(pid);
    hold[Symbol.dispose]();
    expect(ppid(pid)).toBe(process.pid);
    expect(child.startTime).toBeGreaterThan(0);
    expect(reaper.adopt(pid)).toBe(child);
    expect(child.signal(9)).toBe(true);
    expect(await child.exited).toEqual({ kind: 'signaled', signal: 9, coreDumped: false });
  });

  test('one that has died already is collected exactly, under a hold', async () => {
    using hold = reaper.hold();
    const pid = await leaveBehind('exit 42');
    await until(() => processState(pid) === 'Z');
    // Whatever else ends meanwhile, it stays to be adopted.
    await shell('true').exited;
    await turn();
    expect(processState(pid)).toBe('Z');
    const child = reaper.adopt(pid);
    hold[Symbol.dispose]();
    expect(await child.exited).toEqual({ kind: 'exited', code: 42 });
  });

  test('one whose parent still lives is collected when that parent leaves it to us', async () => {
    // The inner process dies at once; its parent never waits for it and lives until it is told.
    const { parent, pid } = startParent('sleep 1000', 'exit 43');
    const child = reaper.adopt(pid);
    await until(() => processState(pid) === 'Z');
    expect(ppid(pid)).toBe(parent.pid);
    await turn();
    await turn();
    expect(child.status).toBeUndefined();
    parent.signal(9);
    await parent.exited;
    expect(await child.exited).toEqual({ kind: 'exited', code: 43 });
  });

  test('one that its own parent collects still ends', async () => {
    const { parent, pid } = startParent('wait; sleep 1000', 'kill -STOP $$; exit 44');
    await until(() => processState(pid) === 'T');
    const child = reaper.adopt(pid);
    child.signal(18);
    // Exactly where the kernel keeps the status for others (Linux 6.15), else the code for "unknown".
    const status = await child.exited;
    expect([44, 255]).toContain(status.kind === 'exited' ? status.code : undefined);
    expect(child.signal(0)).toBe(false);
    parent.signal(9);
    await parent.exited;
  });

  test('no such process is ESRCH, a child of Node is EBUSY', async () => {
    const { pid } = spawnSync('true');
    expect(() => reaper.adopt(pid)).toThrow(expect.objectContaining({ code: 'ESRCH' }));
    expect(() => reaper.adopt(-1)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    const node = spawn('sleep', ['1000']);
    expect(() => reaper.adopt(node.pid ?? 0)).toThrow(expect.objectContaining({ code: 'EBUSY' }));
    node.kill('SIGKILL');
    expect(await once(node, 'exit')).toEqual([null, 'SIGKILL']);
  });
});

describe('unknown orphans', () => {
  test('are collected and counted', async () => {
    const before = reaper.orphansCollected;
    const pid = await leaveBehind('exit 5');
    await until(() => processState(pid) === undefined);
    expect(reaper.orphansCollected).toBe(before + 1);
  });

  test('wait while a hold is open, and go when the last one is released', async () => {
    const first = reaper.hold();
    const second = reaper.hold();
    const pid = await leaveBehind('exit 5');
    await until(() => processState(pid) === 'Z');
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    await turn();
    await turn();
    expect(processState(pid)).toBe('Z');
    second[Symbol.dispose]();
    await until(() => processState(pid) === undefined);
  });

  test('are found behind the zombie of somebody else', async () => {
    const worker = new Worker(
      `const { spawn } = require('node:child_process');
       const { parentPort } = require('node:worker_threads');
       const child = spawn('true');
       // Busy until it is told: libuv of this thread cannot collect its child.
       const flag = new Int32Array(require('node:worker_threads').workerData);
       parentPort.postMessage(child.pid);
       child.on('exit', (code) => { parentPort.postMessage(code); });
       setImmediate(() => Atomics.wait(flag, 0, 0));`,
      { eval: true, ...workerFlag() },
    );
    const [foreign] = (await once(worker, 'message')) as [number];
    await until(() => processState(foreign) === 'Z');
    const orphan = await leaveBehind('exit 5');
    await until(() => processState(orphan) === undefined);
    // Not taken from the worker, which gets its exit code.
    expect(processState(foreign)).toBe('Z');
    const exit = once(worker, 'message');
    release();
    expect(await exit).toEqual([0]);
    await worker.terminate();
  });
});

let flag: Int32Array;
function workerFlag(): { workerData: SharedArrayBuffer } {
  const shared = new SharedArrayBuffer(4);
  flag = new Int32Array(shared);
  return { workerData: shared };
}
function release(): void {
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
}

describe("Node's own children", () => {
  const run = promisify(execFile);

  test('keep their exit events beside ours', async () => {
    const codes = Array.from({ length: 40 }, (_, index) => index);
    const results = await Promise.all(
      codes.flatMap((code) => [
        once(spawn('sh', ['-c', `exit ${code}`]), 'exit').then(([got]) => got as number),
        run('sh', ['-c', `exit ${code}`]).then(
          () => 0,
          (error: { code: number }) => error.code,
        ),
        shell(`exit ${code}`).exited.then((status) => ('code' in status ? status.code : -1)),
        leaveBehind(`exit ${code}`).then(() => code),
      ]),
    );
    expect(results).toEqual(codes.flatMap((code) => [code, code, code, code]));
    expect(spawnSync('sh', ['-c', 'exit 9']).status).toBe(9);
    await until(() => zombies().length === 0);
  });

  test('are left alone also when they end after libuv has looked and before we do', async () => {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    const exit = once(child, 'exit');
    await new Promise<void>((resolve) => {
      // In a callback of the poll phase: the pass comes right after it, libuv's turn only then.
      stat('/', () => {
        reaper.hold()[Symbol.dispose]();
        child.kill('SIGKILL');
        while (processState(child.pid ?? 0) !== 'Z');
        resolve();
      });
    });
    expect(await exit).toEqual([null, 'SIGKILL']);
  });

  test('a program that cannot be started leaves nothing that blocks orphans', async () => {
    await expect(run('/no/such/program')).rejects.toMatchObject({ code: 'ENOENT' });
    const pid = await leaveBehind('exit 5');
    await until(() => processState(pid) === undefined);
  });

  test('stay known when somebody removes all their listeners', async () => {
    const child: ChildProcess = spawn('sh', ['-c', 'exit 6']);
    child.removeAllListeners();
    await until(() => child.exitCode !== null);
    expect(child.exitCode).toBe(6);
    const pid = await leaveBehind('exit 5');
    await until(() => processState(pid) === undefined);
  });
});

function zombies(): number[] {
  const children = readFileSync('/proc/thread-self/children', 'utf8').trim().split(' ');
  return children.map(Number).filter((pid) => pid > 0 && processState(pid) === 'Z');
}

describe('life cycle', () => {
  test('there is one per process, and another after it was disposed', () => {
    expect(() => Reaper.start()).toThrow('already');
    reaper[Symbol.dispose]();
    reaper[Symbol.dispose]();
    reaper = Reaper.start();
  });

  /** A script in a Node of its own. */
  function script(body: string): { stdout: string; status: number | null } {
    const source = `
      import { spawn } from 'node:child_process';
      const early = spawn('sh', ['-c', 'read -r line; exit 21'], { stdio: ['pipe', 'ignore', 'inherit'] });
      const { Reaper } = await import('${import.meta.dirname}/reaper.ts');
      const reaper = Reaper.start();
      const env = ['PATH=/usr/bin:/bin'];
      ${body}`;
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ['--input-type=module-typescript', '-e', source],
      { encoding: 'utf8' },
    );
    return { stdout: stdout + stderr, status };
  }

  test('a child started by Node before this module was loaded keeps its exit event', () => {
    const { stdout } = script(`
      early.on('exit', (code) => console.log('early', code));
      early.stdin.end();
    `);
    expect(stdout).toBe('early 21\n');
  });

  test('keeps the event loop alive for a watched child, and for nothing else', () => {
    const { stdout, status } = script(`
      early.kill('SIGKILL');
      const child = reaper.spawn({ file: 'sh', args: ['sh', '-c', 'exec sleep 0.2'], env, stdio: [null, null, null] });
      child.exited.then((status) => console.log(status.code));
      reaper.hold();
    `);
    expect(stdout).toBe('0\n');
    expect(status).toBe(0);
  });

  test('finds every orphan also where /proc does not list children', () => {
    const source = `
      import { spawn } from 'node:child_process';
      import { existsSync } from 'node:fs';
      import { Reaper } from '${import.meta.dirname}/reaper.ts';
      const reaper = Reaper.start();
      const env = ['PATH=/usr/bin:/bin'];
      const perl = 'for (1..3) { if (!fork) { exit 4 } }';
      let exits = 0;
      // Zombies of Node's and of ours stand before the orphans when the reaper looks.
      for (let round = 0; round < 30; round++) {
        spawn('true').on('exit', () => exits++);
        reaper.spawn({ file: 'true', args: ['true'], env, stdio: [null, null, null] }).exited.then(() => exits++);
        reaper.spawn({ file: 'perl', args: ['perl', '-e', perl], env, stdio: [null, null, null] }).exited.then(() => exits++);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3);
      }
      while (reaper.orphansCollected < 90 || exits < 90) await new Promise((resolve) => setTimeout(resolve, 1));
      console.log(existsSync('/proc/self'), reaper.orphansCollected, exits);`;
    const inner = `mount -t tmpfs none /proc && exec "$0" --input-type=module-typescript -e "$1"`;
    const { stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', 'sh', '-c', inner, process.execPath, source],
      { encoding: 'utf8', timeout: 30_000, killSignal: 'SIGKILL' },
    );
    expect(stdout + stderr).toBe('false 90 90\n');
  });

  test('disposed, it lets the loop end but still collects what it watches', () => {
    const { stdout, status } = script(`
      early.kill('SIGKILL');
      const child = reaper.spawn({ file: 'sh', args: ['sh', '-c', 'exit 3'], env, stdio: [null, null, null] });
      const other = reaper.spawn({ file: 'sleep', args: ['sleep', '1000'], env, stdio: [null, null, null] });
      reaper[Symbol.dispose]();
      const timer = setInterval(() => {}, 1000);
      console.log((await child.exited).code);
      clearInterval(timer);
      process.on('exit', () => other.signal(9));
    `);
    expect(stdout).toBe('3\n');
    expect(status).toBe(0);
  });
});
