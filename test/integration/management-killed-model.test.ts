import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  become,
  codeOfEnd,
  compare,
  follow,
  type Model,
  modelOf,
  Real,
  type StepName,
  stepNames,
  steps,
} from '../support/door-model.ts';
import type { Status } from '../support/life-cycle-model.ts';
import { useRootfs } from '../support/suite.ts';
import { withSupervised } from '../support/supervised-agent.ts';

useRootfs();

const TIME_MS = 50_000;
/** What it says when it fails can be had again. */
const seed = Number(process.env.GCS_TEST_SEED ?? Date.now() % 2 ** 31);
const ids = ['a', 'b'] as const;

type Command = fc.AsyncCommand<Model, Real, false>;

/** One step to its end. */
class Take implements Command {
  readonly #name: StepName;
  readonly #id: string;

  constructor(name: StepName, id: string) {
    this.#name = name;
    this.#id = id;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    const outcome = await real.outcome(this.#name, this.#id, modelOf(model, this.#id));
    await follow(this.#name, this.#id, outcome, real, model);
    await compare(real, model);
  }

  toString(): string {
    return `${this.#name} (${this.#id})`;
  }
}

/** Steps of both containers at the same time: neither knows of the other. */
class Both implements Command {
  readonly #names: readonly StepName[];

  constructor(names: readonly StepName[]) {
    this.#names = names;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    const taken = ids.map((id, index) => ({ id, name: this.#names[index] ?? 'stats' }));
    const outcomes = await Promise.all(
      taken.map(({ id, name }) => real.outcome(name, id, modelOf(model, id))),
    );
    for (const [index, { id, name }] of taken.entries()) {
      await follow(name, id, outcomes[index] ?? '', real, model);
    }
    await compare(real, model);
  }

  toString(): string {
    return `${this.#names.join(' beside ')} (${ids.join(', ')})`;
  }
}

/** The agent is killed between two steps. */
class Kill implements Command {
  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    await real.session.supervised.replace();
    await real.connect();
    await compare(real, model);
  }

  toString(): string {
    return 'the agent is killed';
  }
}

/** The agent is killed some milliseconds into a step: either all of it has happened, or nothing. */
class CutOff implements Command {
  readonly #name: StepName;
  readonly #id: string;
  readonly #afterMs: number;

  constructor(name: StepName, id: string, afterMs: number) {
    this.#name = name;
    this.#id = id;
    this.#afterMs = afterMs;
  }

  /** One that is refused has nothing to be cut off. */
  check(model: Model): boolean {
    const expected = steps[this.#name].expected[modelOf(model, this.#id).status];
    return !expected.startsWith('!') && expected !== '?';
  }

  async run(model: Model, real: Real): Promise<void> {
    const container = modelOf(model, this.#id);
    const before = container.status;
    const execs = new Map(container.execs);
    const cut = real.outcome(this.#name, this.#id, container);
    await delay(this.#afterMs);
    await real.session.supervised.replace();
    const outcome = await cut;
    await real.connect();
    if (outcome === 'lost') await this.#settle(before, execs, model, real);
    else await follow(this.#name, this.#id, outcome, real, model);
    await compare(real, model);
  }

  /** Finds out what has become of a step whose answer was lost. */
  async #settle(
    before: Status,
    execs: ReadonlyMap<string, number | undefined>,
    model: Model,
    real: Real,
  ): Promise<void> {
    const container = modelOf(model, this.#id);
    const expected = steps[this.#name].expected[before];
    const possible: string[] = expected.startsWith('!') || expected === '?' ? [] : [expected];
    if (possible.includes('stopped')) await endOf(real, this.#id);
    const now = ((await real.statuses())[this.#id] ?? 'none') as Status;
    expect([before, ...possible], `${this} while ${before}`).toContain(now);
    if (before === 'none' && now === 'none') {
      expect(existsSync(real.log(this.#id)), `log of ${this.#id}`).toBe(false);
    }
    await become(now, this.#id, real, container);
    if (now === 'none') return;
    // Of execs the model knows those whose names were told.
    const { processes } = await real.client.call('process.list', { containerId: this.#id });
    for (const { processId, status } of processes) {
      if (!/^p\d+$/.test(processId) || container.execs.has(processId)) continue;
      container.execs.set(processId, undefined);
      if (status === 'stopped')
        container.execs.set(processId, await codeOfEnd(real, this.#id, processId));
    }
    for (const [processId] of execs) {
      const process = processes.find((each) => each.processId === processId);
      if (process === undefined && this.#name === 'forget an exec')
        container.execs.delete(processId);
      if (process?.status !== 'stopped') continue;
      container.execs.set(processId, await codeOfEnd(real, this.#id, processId));
    }
  }

  toString(): string {
    return `the agent is killed ${this.#afterMs} ms into ${this.#name} (${this.#id})`;
  }
}

/** A signal that was sent does its work, whoever lives to see it. One that was not sent will not. */
async function endOf(real: Real, id: string): Promise<void> {
  await real.client.call('container.wait', { id, timeoutMs: 1000 }).catch(() => {});
}

const name = fc.constantFrom(...stepNames);
const id = fc.constantFrom(...ids);
const often: StepName[] = [
  'create by the door',
  'create by the bridge',
  'start by the door',
  'exec that goes on',
];
const commands = fc.commands<Model, Real, false>(
  [
    fc.tuple(name, id).map(([step, of]) => new Take(step, of)),
    fc.tuple(fc.constantFrom(...often), id).map(([step, of]) => new Take(step, of)),
    fc.tuple(name, name).map((names) => new Both(names)),
    fc.constant(new Kill()),
    fc.tuple(name, id, fc.nat(120)).map(([step, of, after]) => new CutOff(step, of, after)),
  ],
  { maxCommands: 16, size: 'max' },
);
const beginning = fc.constantFrom<StepName[]>(
  ['create by the door', 'start by the door'],
  ['create by the bridge', 'start by the bridge', 'exec that goes on'],
  ['create by the door', 'start by the bridge', 'pause'],
  ['create by the bridge', 'start by the door', 'kill all'],
);

test(
  'any order of steps of the door and the bridge, with the agent killed between and within them, does what a simple model says',
  async () => {
    console.log(`GCS_TEST_SEED=${seed}`);
    await fc.assert(
      fc.asyncProperty(beginning, commands, async (first, rest) => {
        await withSupervised({}, async (session) => {
          const real = new Real(session);
          const model: Model = new Map();
          await real.connect();
          try {
            for (const step of first) await new Take(step, 'a').run(model, real);
            await fc.asyncModelRun(() => ({ model, real }), rest);
          } finally {
            for (const left of ids) {
              await real.client.call('container.delete', { id: left, force: true }).catch(() => {});
            }
            real.close();
          }
        });
      }),
      {
        seed,
        numRuns: Number(process.env.GCS_TEST_RUNS ?? 12),
        interruptAfterTimeLimit: TIME_MS,
        verbose: 1,
      },
    );
  },
  4 * TIME_MS,
);
