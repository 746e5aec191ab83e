/**
 * A storm of children of every kind around one Reaper, in a process of its own (also as PID 1 of a
 * pid namespace). Writes its findings as JSON to standard output; argument: rounds per kind.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { openFile } from '../../src/os/pipe.ts';
import { type Child, processState } from '../../src/os/process.ts';
import { Reaper } from '../../src/os/reaper.ts';

export interface StressFindings {
  pid: number;
  /** Children by kind. */
  counts: Record<string, number>;
  /** Wrong results, in words. */
  wrong: string[];
  orphansExpected: number;
  orphansCollected: number;
  zombies: number;
  watched: number;
  descriptorsLeft: number;
}

const rounds = Number(process.argv[2] ?? 100);
const reaper = Reaper.start();
const env = [`PATH=${process.env.PATH}`];
const directory = mkdtempSync(join(tmpdir(), 'gcs-reaper-'));
const counts: Record<string, number> = {};
const wrong: string[] = [];
let orphansExpected = 0;

/** A fixed sequence, so that a failure can be repeated. */
let seed = 12345;
function random(below: number): number {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % below;
}

function judge(kind: string, got: unknown, expected: unknown): void {
  counts[kind] = (counts[kind] ?? 0) + 1;
  if (got !== expected) wrong.push(`${kind}: got ${got}, expected ${expected}`);
}

/** Exit code, or "signal N". */
async function ending(child: Child): Promise<string> {
  const status = await child.exited;
  return status.kind === 'exited' ? `${status.code}` : `signal ${status.signal}`;
}

function start(script: string): Child {
  const args = ['sh', '-c', script];
  return reaper.spawn({ file: 'sh', args, env, stdio: [null, null, 2] });
}

/**
 * Starts each argument as a shell script and ends without waiting. Not a shell, which would now and
 * then collect its own background children.
 */
const LEAVE = 'for (@ARGV) { if (!($pid = fork)) { exec "setsid", "sh", "-c", $_ } } print $pid';

/** A short life, sometimes long enough to outlast its parent and what follows. */
function life(code: number): string {
  return random(3) === 0 ? `sleep 0.0${random(10)}; exit ${code}` : `exit ${code}`;
}

async function ownSpawn(): Promise<void> {
  const code = random(256);
  judge('own spawn', await ending(start(life(code))), `${code}`);
}

async function ownKilled(): Promise<void> {
  const signal = [1, 9, 15, 34, 64][random(5)] ?? 9;
  const child = start('exec sleep 1000');
  child.signal(signal);
  judge('own spawn, killed', await ending(child), `signal ${signal}`);
}

async function libuvSpawn(): Promise<void> {
  const code = random(256);
  const [got] = await once(spawn('sh', ['-c', life(code)], { stdio: 'ignore' }), 'exit');
  judge('libuv spawn', got, code);
}

async function libuvKilled(): Promise<void> {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  child.kill('SIGKILL');
  judge('libuv spawn, killed', (await once(child, 'exit'))[1], 'SIGKILL');
}

function libuvExecFile(): Promise<void> {
  const code = random(256);
  const { promise, resolve } = Promise.withResolvers<void>();
  execFile('sh', ['-c', `echo ${code}; exit ${code}`], (error, stdout) => {
    judge(
      'libuv execFile',
      `${error === null ? 0 : error.code} ${stdout.trim()}`,
      `${code} ${code}`,
    );
    resolve();
  });
  return promise;
}

async function notStarted(): Promise<void> {
  const [error] = (await once(spawn('/no/such/program'), 'error')) as [NodeJS.ErrnoException];
  judge('libuv spawn, ENOENT', error.code, 'ENOENT');
  try {
    reaper.spawn({ file: '/no/such/program', args: ['x'], env, stdio: [] });
  } catch (caught) {
    judge('own spawn, ENOENT', (caught as NodeJS.ErrnoException).code, 'ENOENT');
  }
}

/** Meanwhile the loop stands still, and zombies of every kind pile up. */
async function synchronous(): Promise<void> {
  const code = random(256);
  judge('spawnSync', spawnSync('sh', ['-c', `sleep 0.01; exit ${code}`]).status, code);
}

let files = 0;
/** As an OCI runtime does it: a command that leaves a daemon and its pid file, and ends. */
async function daemonised(): Promise<void> {
  const code = random(256);
  const file = join(directory, `pid-${files++}`);
  using _hold = reaper.hold();
  const args = ['-e', LEAVE, life(code)];
  let command: string;
  if (random(2) === 0) {
    const output = openFile(file, constants.O_WRONLY | constants.O_CREAT);
    const parent = reaper.spawn({
      file: 'perl',
      args: ['perl', ...args],
      env,
      stdio: [null, output.raw, 2],
    });
    output.close();
    command = await ending(parent);
  } else {
    const output = openSync(file, 'w');
    const parent = spawn('perl', args, { stdio: ['ignore', output, 'inherit'] });
    closeSync(output);
    command = `${(await once(parent, 'exit'))[0]}`;
  }
  judge('command that leaves a daemon', command, '0');
  // Sometimes it has long been dead when its pid file is read.
  if (random(2) === 0) await start('sleep 0.01').exited;
  const child = reaper.adopt(Number(readFileSync(file, 'utf8')));
  rmSync(file);
  judge('adopted daemon', await ending(child), `${code}`);
}

async function unknownOrphans(): Promise<void> {
  const left = 1 + random(3);
  orphansExpected += left;
  const lives = Array.from({ length: left }, () => life(random(256)));
  const args = ['perl', '-e', LEAVE, ...lives];
  const parent = reaper.spawn({ file: 'perl', args, env, stdio: [null, null, 2] });
  judge('command that leaves orphans', await ending(parent), '0');
  counts['unknown orphans'] = (counts['unknown orphans'] ?? 0) + left;
}

/** Children that another thread's libuv waits for. */
function workerThread(): { one(): Promise<void>; stop(): Promise<number> } {
  const worker = new Worker(
    `const { spawn } = require('node:child_process');
     const { parentPort } = require('node:worker_threads');
     parentPort.on('message', (code) => {
       spawn('sh', ['-c', 'exit ' + code], { stdio: 'ignore' })
         .on('exit', (got) => parentPort.postMessage({ code, got }));
     });`,
    { eval: true },
  );
  return {
    one: async () => {
      worker.postMessage(random(256));
      const [{ code, got }] = (await once(worker, 'message')) as [{ code: number; got: number }];
      judge('spawn in a worker thread', got, code);
    },
    stop: () => worker.terminate(),
  };
}

/** Every round of a kind, `width` at a time. */
async function lane(width: number, total: number, one: () => Promise<void>): Promise<void> {
  let left = total;
  const run = async (): Promise<void> => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: width }, run));
}

function zombies(): number[] {
  const children = readFileSync('/proc/thread-self/children', 'utf8').trim().split(' ');
  return children.map(Number).filter((pid) => pid > 0 && processState(pid) === 'Z');
}

/** Counted when the loop has closed the handles of what ended in this turn. */
async function descriptors(): Promise<number> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  return readdirSync('/proc/self/fd').length;
}

async function storm(): Promise<StressFindings> {
  const worker = workerThread();
  await worker.one();
  await libuvExecFile();
  const before = await descriptors();
  await Promise.all([
    lane(4, rounds * 3, ownSpawn),
    lane(2, rounds, ownKilled),
    lane(4, rounds * 2, libuvSpawn),
    lane(2, rounds, libuvKilled),
    lane(2, rounds, libuvExecFile),
    lane(1, rounds / 4, notStarted),
    lane(1, rounds / 4, synchronous),
    lane(3, rounds * 2, daemonised),
    lane(3, rounds * 2, unknownOrphans),
    lane(1, rounds, worker.one),
  ]);
  // The last orphans may still run. Nothing but their end is waited for; the caller has the time limit.
  while (reaper.orphansCollected < orphansExpected || zombies().length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const descriptorsLeft = (await descriptors()) - before;
  await worker.stop();
  return {
    pid: process.pid,
    counts,
    wrong,
    orphansExpected,
    orphansCollected: reaper.orphansCollected,
    zombies: zombies().length,
    watched: reaper.watched,
    descriptorsLeft,
  };
}

try {
  console.log(JSON.stringify(await storm()));
} finally {
  rmSync(directory, { recursive: true });
  reaper[Symbol.dispose]();
}
