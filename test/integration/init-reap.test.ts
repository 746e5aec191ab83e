/** Orphans: every one is reaped, and what became of it is on record. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { InitLab } from '../support/init-lab.ts';
import { descendants } from '../support/proc.ts';

/** Shell: waits until there are this many records. */
function untilRecords(count: number): string {
  return `while [ $(ls /run/gcs/exits | wc -l) -lt ${count} ]; do usleep 10000; done`;
}

test('a record says how a process ended and when, under its pid and start time', async () => {
  const before = BigInt(Date.now()) * 1_000_000n;
  await using lab = await InitLab.start({
    agent: `
      mkfifo /run/go
      for end in 'exit 0' 'exit 7' 'kill -TERM $$' 'kill -KILL $$'; do
        rm -f /run/pid
        (setsid sh -c 'echo $$ >/run/pid.new; mv /run/pid.new /run/pid; read -r _ </run/go; eval "$1"' sh "$end" &)
        while [ ! -e /run/pid ]; do usleep 1000; done
        pid=$(cat /run/pid)
        echo "orphan $pid.$(awk '{ print $22 }' /proc/$pid/stat) $end" >&2
        echo >/run/go
      done
      ${untilRecords(4)}
      echo done >&2
      exec sleep 1000`,
  });
  await lab.see(/^done$/m);
  const records = lab.records();
  const after = BigInt(Date.now()) * 1_000_000n;
  const wanted: Record<string, string> = {
    'exit 0': '1 0',
    'exit 7': '1 7',
    'kill -TERM $$': '2 15',
    'kill -KILL $$': '2 9',
  };
  const orphans = [...lab.console.matchAll(/^orphan (\S+) (.*)$/gm)];
  expect(orphans).toHaveLength(4);
  for (const [, name = '', end = ''] of orphans) {
    const [, how, time = '0'] = records.get(name)?.match(/^(\d+ \d+) (\d+)\n$/) ?? [];
    expect(how).toBe(wanted[end]);
    expect(BigInt(time) > before && BigInt(time) < after).toBe(true);
  }
  expect(records.size).toBe(4);
});

test('the agent and its shell are init’s own affair and leave no record', async () => {
  await using lab = await InitLab.start({
    args: ['-d', '/shell', '/agent'],
    files: { '/shell': '#!/bin/sh\nexit 1\n' },
    agent: 'exit 2',
  });
  await lab.see(/\/agent ended.*again in 400 ms/);
  await lab.see(/\/shell ended.*again in 400 ms/);
  expect(lab.records().size).toBe(0);
});

test('a storm of a thousand orphans: no zombie stays, and every record is right', async () => {
  await using lab = await InitLab.start({
    agent: `
      mkfifo /run/go
      (i=0; while [ $i -lt 1000 ]; do (read -r _ </run/go; exit $((i % 256))) & i=$((i + 1)); done)
      exec 9<>/run/go
      yes go | head -n 1000 >&9
      ${untilRecords(1000)}
      echo done >&2
      exec sleep 1000`,
  });
  await lab.see(/^done$/m);
  const codes = [...lab.records().values()].map((text) => text.match(/^1 (\d+) /)?.[1]);
  const expected = Array.from({ length: 1000 }, (_, i) => `${i % 256}`);
  expect(codes.toSorted()).toEqual(expected.toSorted());
  expect(descendants(lab.pid).filter(({ state }) => state === 'Z')).toEqual([]);
  expect(readFileSync(`/proc/${lab.pid}/comm`, 'utf8')).toBe('init\n');
});

test('records are bounded: of 4201 the newest 4096 are kept', async () => {
  await using lab = await InitLab.start({
    agent: `
      # Until init has no child but this one.
      until_alone() {
        while [ $(cat /proc/[0-9]*/stat 2>/dev/null | awk '$4 == 1' | wc -l) -gt 1 ]; do
          usleep 10000
        done
      }
      mkfifo /run/go
      exec 9<>/run/go
      for batch in 1 2 3 4 5 6 7; do
        # They end after their parent, so that all of them are init's.
        (i=0; while [ $i -lt 600 ]; do (read -r _ </run/go; exit $batch) & i=$((i + 1)); done)
        yes go | head -n 600 >&9
        until_alone
      done
      (setsid sh -c 'usleep 100000; exit 99' &)
      until_alone
      echo made >&2
      exec sleep 1000`,
  });
  await lab.see(/^made$/m);
  const codes = [...lab.records().values()].map((text) => Number(text.match(/^1 (\d+) /)?.[1]));
  expect(codes).toHaveLength(4096);
  const count = (code: number) => codes.filter((each) => each === code).length;
  // 105 ended before these, and all of those were of the first batch.
  expect([1, 2, 3, 4, 5, 6, 7, 99].map(count)).toEqual([495, 600, 600, 600, 600, 600, 600, 1]);
});
