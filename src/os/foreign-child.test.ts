/** Processes of another: an init of the test's collects them, with and without a record. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { descriptors } from '../../test/support/proc.ts';
import { ExitRecords } from './exit-records.ts';
import type { ProcessEnd } from './process.ts';
import { processState } from './process.ts';
import { Reaper } from './reaper.ts';

/**
 * Starts a shell for each line "start SCRIPT" and says "PID STARTTIME"; "record PID" writes down how
 * it ended as init does, "collect PID" then collects it. Both wait for its end.
 */
const INIT = `
  use POSIX ":sys_wait_h"; $| = 1; my ($directory) = @ARGV; my %started;
  while (<STDIN>) {
    chomp; my ($word, $rest) = split / /, $_, 2;
    if ($word eq "start") {
      my $pid = fork; if (!$pid) { close STDIN; exec "sh", "-c", $rest }
      open my $stat, "<", "/proc/$pid/stat"; $_ = <$stat>; s/^.*\\) //; my @fields = split / /;
      $started{$pid} = $fields[19]; print "$pid $fields[19]\\n";
    } elsif ($word eq "record") {
      my $state = ""; while ($state ne "Z") { open my $stat, "<", "/proc/$rest/stat"; $_ = <$stat>; /\\) (.)/; $state = $1 }
      open my $stat, "<", "/proc/$rest/stat"; $_ = <$stat>; chomp; my $wait = (split / /)[-1];
      my ($code, $status) = ($wait & 127) ? (2, $wait & 127) : (1, $wait >> 8);
      open my $new, ">", "$directory/.new"; print $new "$code $status 77\\n"; close $new;
      rename "$directory/.new", "$directory/$rest.$started{$rest}"; print "done\\n";
    } else { waitpid $rest, 0; print "done\\n" }
  }`;

let directory: string;
let records: ExitRecords;
let reaper: Reaper;
let init: ChildProcess;
let lines: AsyncIterator<string>;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-foreign-'));
  records = new ExitRecords(directory);
  reaper = Reaper.start();
  init = spawn('perl', ['-e', INIT, directory], { stdio: ['pipe', 'pipe', 'inherit'] });
  if (init.stdout === null) throw new Error('no output');
  lines = createInterface({ input: init.stdout })[Symbol.asyncIterator]();
});
afterEach(async () => {
  init.stdin?.end();
  await once(init, 'exit');
  expect(reaper.watched).toBe(0);
  reaper[Symbol.dispose]();
  rmSync(directory, { recursive: true });
});

async function tell(line: string): Promise<string> {
  init.stdin?.write(`${line}\n`);
  return (await lines.next()).value;
}

async function start(script: string): Promise<{ pid: number; startTime: number }> {
  const [pid, startTime] = (await tell(`start ${script}`)).split(' ').map(Number);
  return { pid: pid ?? 0, startTime: startTime ?? 0 };
}

function adopt(process: { pid: number; startTime: number }, waitMs?: number) {
  const options = { records, ...(waitMs === undefined ? {} : { waitMs }) };
  const child = reaper.adoptForeign(process.pid, process.startTime, options);
  if (child === undefined) throw new Error('there is no such process');
  return child;
}

function file(name: string): string {
  return join(directory, name);
}

describe('a process of init', () => {
  test('is watched, signalled, and ends as init’s record says', async () => {
    const process = await start('exec sleep 1000');
    const child = adopt(process);
    expect(adopt(process)).toBe(child);
    expect([child.pid, child.startTime, child.status]).toEqual([
      process.pid,
      process.startTime,
      undefined,
    ]);
    expect(child.signal(15)).toBe(true);
    expect(await tell(`record ${child.pid}`)).toBe('done');
    await tell(`collect ${child.pid}`);
    const status = { kind: 'signaled', signal: 15, coreDumped: false };
    expect(await child.exited).toEqual(status);
    expect(child.ended).toEqual({ status, endedAtNs: 77n, reason: undefined });
    expect(child.signal(15)).toBe(false);
  });

  test('ends when init gets to write its record, not before', async () => {
    const process = await start('exit 9');
    const child = adopt(process);
    while (processState(process.pid) !== 'Z');
    // The child has noticed by now, and waits.
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(child.status).toBeUndefined();
    await tell(`record ${process.pid}`);
    expect(await child.exited).toEqual({ kind: 'exited', code: 9 });
    await tell(`collect ${process.pid}`);
  });

  test('that has ended and has its record is told at once', async () => {
    const process = await start('exit 3');
    await tell(`record ${process.pid}`);
    const child = adopt(process);
    expect(await child.exited).toEqual({ kind: 'exited', code: 3 });
    await tell(`collect ${process.pid}`);
  });

  test('without a record ends as the kernel tells, where it does, else as unknown with the reason', async () => {
    const process = await start(`while [ ! -e ${file('go')} ]; do sleep 0.01; done; exit 33`);
    const child = adopt(process, 300);
    rmSync(directory, { recursive: true });
    expect(existsSync(directory)).toBe(false);
    child.signal(9);
    await tell(`collect ${process.pid}`);
    await child.exited;
    const { status, reason } = child.ended ?? {};
    if (reason === undefined) {
      expect(status).toEqual({ kind: 'signaled', signal: 9, coreDumped: false });
    } else {
      expect(status).toEqual({ kind: 'exited', code: 255 });
      expect(reason).toContain('ENOENT');
    }
    await tell('start :');
    const { mkdirSync } = await import('node:fs');
    mkdirSync(directory);
  });

  test('that nobody collects and nobody records is unknown after a bounded wait', async () => {
    const process = await start('exit 5');
    const child = adopt(process, 50);
    expect(await child.exited).toEqual({ kind: 'exited', code: 255 });
    expect(child.ended?.reason).toBe(
      `process ${process.pid} ended as a child of another, who left no record of it`,
    );
    await tell(`collect ${process.pid}`);
  });

  test('whose record cannot be read is unknown, with that as the reason', async () => {
    const { writeFileSync } = await import('node:fs');
    const process = await start('exit 5');
    writeFileSync(file(`${process.pid}.${process.startTime}`), 'torn');
    const child = adopt(process, 50);
    await child.exited;
    expect(child.ended?.reason).toContain('is no exit record');
    await tell(`collect ${process.pid}`);
  });
});

test('a pid that is another process by now, or none, is nobody to watch', async () => {
  const process = await start('exec sleep 1000');
  expect(reaper.adoptForeign(process.pid, process.startTime + 1, { records })).toBeUndefined();
  const child = adopt(process);
  child.signal(9);
  await tell(`record ${process.pid}`);
  await tell(`collect ${process.pid}`);
  await child.exited;
  expect(reaper.adoptForeign(process.pid, process.startTime, { records })).toBeUndefined();
  expect(records.read(process.pid, process.startTime)?.endedAtNs).toBe(77n);
});

test('many at once: each gets its own, and nothing stays open', async () => {
  const before = readdirSync('/proc/self/fd').length;
  const processes = [];
  for (let code = 1; code <= 40; code++) processes.push(await start(`exit ${code}`));
  const ends = processes.map((process) => adopt(process).exited);
  for (const { pid } of processes) {
    await tell(`record ${pid}`);
    await tell(`collect ${pid}`);
  }
  expect(await Promise.all(ends)).toEqual(
    processes.map((_, index) => ({ kind: 'exited', code: index + 1 })),
  );
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before + 1);
});

test('the owner is told before anybody else, once, and still when it is not known', async () => {
  const first = await start('exit 6');
  const second = await start('exit 7');
  const told: ProcessEnd[] = [];
  const one = adopt(first, 50);
  const two = adopt(second);
  const order: string[] = [];
  for (const child of [one, two]) {
    child.beforeCollect = (end) => {
      told.push(end);
      order.push(`told ${child.pid} ${child.status === undefined}`);
    };
    void child.exited.then(() => order.push(`exited ${child.pid}`));
  }
  await one.exited;
  await tell(`record ${second.pid}`);
  await two.exited;
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual([
    `told ${one.pid} true`,
    `exited ${one.pid}`,
    `told ${two.pid} true`,
    `exited ${two.pid}`,
  ]);
  expect(told).toEqual([one.ended, two.ended]);
  expect(told[1]?.status).toEqual({ kind: 'exited', code: 7 });
  await tell(`collect ${first.pid}`);
  await tell(`collect ${second.pid}`);
});

test('nothing is watched any more once its end is known, collected or not', async () => {
  const pidfds = () => [...descriptors(process.pid).values()].filter((to) => /pidfd/.test(to));
  const before = pidfds();
  const foreign = await start('exit 5');
  const child = adopt(foreign);
  await tell(`record ${foreign.pid}`);
  expect(await child.exited).toEqual({ kind: 'exited', code: 5 });
  await expect.poll(pidfds).toEqual(before);
  await tell(`collect ${foreign.pid}`);
});
