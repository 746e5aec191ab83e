import { constants } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Emission, Emitter, seeded, someLength } from '../support/emitter.ts';
import { Pattern, receivePattern, sendPattern } from '../support/pattern.ts';
import { requireNothingLeft, useReaper } from '../support/process-suite.ts';
import { type Running, runOnTerminal, runPiped, sh } from '../support/stdio-rig.ts';

/** Processes in all; 10000 take some 20 s on two cores. */
const count = Number(process.env.GCS_STRESS ?? 10_000);
const seed = Number(process.env.GCS_STRESS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const inParallel = 24;
const GIB = 2 ** 30;
const { SIGKILL, SIGPIPE } = constants.signals;
const codes = [0, 0, 1, 2, 42, 126, 127, 128 + SIGKILL];

requireNothingLeft();
const reaper = useReaper();
let emitter: Emitter;

beforeAll(() => {
  emitter = new Emitter();
});
afterAll(() => emitter[Symbol.dispose]());

function emission(random: () => number): Emission {
  return {
    out: emitter.part(someLength(random), random()),
    err: emitter.part(random() < 0.5 ? 0 : someLength(random), random()),
    seed: Math.floor(random() * 2 ** 31),
    code: codes[Math.floor(random() * codes.length)] ?? 0,
  };
}

/** A host that reads everything, one in ten of them slowly. */
async function exact(what: Emission, random: () => number): Promise<void> {
  const { host, session, exit } = await runPiped(reaper(), emitter.args(what));
  const slow = random() < 0.1;
  const pause = async (): Promise<void> => {
    for (let turns = slow ? 3 : 0; turns > 0; turns--) await turn();
  };
  const read = async (name: 'stdout' | 'stderr', part: Emission['out']): Promise<void> => {
    await emitter.check(host.stream(name), part, pause);
    host.close(name);
  };
  await Promise.all([read('stdout', what.out), read('stderr', what.err)]);
  expect(await exit).toBe(what.code);
  expect(await session.drained).toEqual({
    stdin: { bytes: 0, outcome: 'process-closed' },
    stdout: { bytes: what.out.length, outcome: 'drained' },
    stderr: { bytes: what.err.length, outcome: 'drained' },
  });
  await session.closed;
  host.closeAll();
}

/** A host that goes away in the middle of stdout. */
async function dying(what: Emission, random: () => number): Promise<void> {
  const { host, session, exit } = await runPiped(reaper(), emitter.args(what));
  let left = Math.floor(random() * (what.out.length + 1));
  host.stream('stdout').on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left <= 0) host.closeAll();
  });
  host.stream('stderr').resume();
  if (left === 0) host.closeAll();
  // Its last write may have been taken by the pipe before the host went.
  expect([what.code, 128 + SIGPIPE]).toContain(await exit);
  host.closeAll();
  await session.closed;
}

async function each(random: () => number): Promise<void> {
  const what = emission(random);
  const run = random() < 0.03 ? dying : exact;
  try {
    await run(what, random);
  } catch (cause) {
    throw new Error(`seed ${seed}: ${run.name} ${JSON.stringify(what)}`, { cause });
  }
}

describe('stdio of many processes', () => {
  test(`${count} processes print and end at once: every byte and code`, {
    timeout: 0,
  }, async () => {
    const random = seeded(seed);
    let started = 0;
    const worker = async (): Promise<void> => {
      while (started < count) {
        started++;
        await each(random);
      }
    };
    await Promise.all(Array.from({ length: inParallel }, worker));
    expect(started).toBe(count);
    expect(reaper().watched).toBe(0);
  });
});

describe('1 GiB', () => {
  const pattern = new Pattern();

  async function throughCat(running: Running, total: number): Promise<void> {
    const { host, session, exit } = running;
    const received = receivePattern(host.stream('stdout'), pattern);
    await sendPattern(host.stream('stdin'), pattern, total);
    expect(await received).toBe(total);
    expect(await exit).toBe(0);
    host.closeAll();
    expect(await session.closed).toMatchObject({
      stdin: { bytes: total },
      stdout: { bytes: total, outcome: 'drained' },
    });
  }

  test('in through stdin and out through stdout', { timeout: 300_000 }, async () => {
    await throughCat(await runPiped(reaper(), ['cat']), GIB);
  });

  test('of stdout, with a host that reads no stderr', { timeout: 300_000 }, async () => {
    const running = await runPiped(reaper(), sh(`yes | head -c ${GIB}; yes >&2`));
    const { host, session, exit, signal } = running;
    let total = 0;
    for await (const chunk of host.stream('stdout').iterator({ destroyOnReturn: false })) {
      total += (chunk as Buffer).length;
      if (total === GIB) break;
    }
    // stderr is full by now or will be: the process hangs on it, as it should.
    expect(session.snapshot().stdout).toEqual({ bytes: GIB, outcome: 'open' });
    signal(SIGKILL);
    expect(await exit).toBe(128 + SIGKILL);
    host.closeAll();
    await session.closed;
  });
});

describe('a terminal', () => {
  test('many at once, each exact', { timeout: 120_000 }, async () => {
    const lengths = Array.from({ length: 64 }, (_, index) => index * 1237);
    await Promise.all(
      lengths.map(async (length, index) => {
        const what = {
          ...emission(seeded(index)),
          out: emitter.part(length, 0.5),
          err: emitter.part(0, 0),
          code: index,
        };
        const script = 'stty raw -echo && exec "$@"';
        const args = ['/bin/sh', '-c', script, 'sh', ...emitter.args(what)];
        const { host, session, exit } = await runOnTerminal(reaper(), args);
        await emitter.check(host.stream('stdout'), what.out);
        expect(await exit).toBe(index);
        host.closeAll();
        expect((await session.closed).stdout).toEqual({ bytes: length, outcome: 'drained' });
      }),
    );
  });
});
