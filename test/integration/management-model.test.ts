import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AgentError } from '../../src/errors.ts';
import type { ManagementOperations } from '../../src/uvm/management.ts';
import { lifeCycle, type Outcomes, type Status } from '../support/life-cycle-model.ts';
import { useVmLab } from '../support/vm-lab.ts';

const suite = useVmLab();

/** What a container ought to be, in a few lines. */
interface Model {
  status: Status;
  /** Events of its life that ought to have been told. */
  events: string[];
}

interface Step {
  readonly expected: Outcomes;
  readonly run: (management: ManagementOperations) => Promise<unknown>;
  readonly events?: (from: Status) => string[];
}

function ended(from: Status): string[] {
  return from === 'stopped' || from === 'none' ? [] : ['exit'];
}

const steps: Readonly<Record<string, Step>> = {
  create: {
    expected: lifeCycle.create,
    run: (management) =>
      management.create({
        id: 'm',
        spec: suite.lab.spec({ args: 'trap "exit 3" TERM; while :; do sleep 0.02; done' }),
      }),
    events: () => ['create'],
  },
  start: {
    // With which of two errors it then ends, `run` looks at.
    expected: { ...lifeCycle.start, stopped: 'stopped' },
    run: async (management) => {
      try {
        return await management.start('m');
      } catch (error) {
        const { status } = await management.state('m');
        if (status !== 'stopped') throw error;
        const codes = ['container-not-created', 'container-not-running'];
        expect(codes).toContain(AgentError.from(error).code);
        return undefined;
      }
    },
    events: (from) => (from === 'created' ? ['start'] : []),
  },
  pause: {
    expected: lifeCycle.pause,
    run: (management) => management.pause('m'),
    events: () => ['pause'],
  },
  resume: {
    expected: lifeCycle.resume,
    run: (management) => management.resume('m'),
    events: () => ['resume'],
  },
  exec: {
    expected: lifeCycle.exec,
    run: async (management) => {
      const processId = `p${performance.now()}`;
      await management.exec('m', { processId, process: { args: ['sh', '-c', 'exit 4'] } });
      expect(await management.waitProcess('m', processId)).toMatchObject({ exitCode: 4 });
    },
    events: () => ['exec', 'exit'],
  },
  execSync: {
    expected: lifeCycle.exec,
    run: async (management) => {
      const result = await management.execSync('m', { args: ['sh', '-c', 'echo x; exit 6'] });
      expect(result).toMatchObject({ exitCode: 6, stdout: Buffer.from('x\n') });
    },
  },
  kill: {
    expected: lifeCycle.kill,
    run: async (management) => {
      await management.signal('m', { signal: 'KILL' });
      expect(await management.wait('m')).toMatchObject({ exitCode: 137 });
    },
    events: ended,
  },
  stop: {
    expected: lifeCycle.stop,
    run: async (management) => {
      // Together they are one.
      await Promise.all([management.stop('m', { timeoutMs: 20 }), management.stop('m')]);
      expect((await management.wait('m')).finishedAt).toBeGreaterThan(0);
    },
    events: ended,
  },
  update: {
    expected: lifeCycle.update,
    run: (management) => management.update('m', { memory: { limit: 256 * 1024 * 1024 } }),
  },
  delete: {
    expected: lifeCycle.delete,
    run: (management) => management.delete('m'),
    events: (from) => [...ended(from), 'delete'],
  },
  'delete by force': {
    expected: lifeCycle['delete by force'],
    run: (management) => management.delete('m', { force: true }),
    events: (from) => [...ended(from), 'delete'],
  },
};

/** Takes one step and requires that what became of it is what the model says. */
async function take(name: string, model: Model, management: ManagementOperations): Promise<void> {
  const step = steps[name];
  if (step === undefined) throw new TypeError(name);
  const expected = step.expected[model.status];
  let outcome: string;
  try {
    await step.run(management);
    outcome = 'done';
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    outcome = `!${error.code}`;
  }
  expect(outcome, `${name} while ${model.status}`).toBe(
    expected.startsWith('!') ? expected : 'done',
  );
  if (!expected.startsWith('!')) {
    model.events.push(...(step.events?.(model.status) ?? []));
    model.status = expected as Status;
  }
  const listed = await management.list();
  expect(
    listed.map(({ status }) => status),
    `after ${name}`,
  ).toEqual(model.status === 'none' ? [] : [model.status]);
}

function without(kind: string, events: readonly string[]): string[] {
  return events.filter((event) => event !== kind);
}

test('any order of operations does what a simple model of the life cycle says', async () => {
  const some = fc.array(fc.constantFrom(...Object.keys(steps)), { minLength: 4, maxLength: 14 });
  const first = fc.constantFrom([], ['create'], ['create', 'start'], ['create', 'start', 'pause']);
  const sequence = fc.tuple(first, some).map((parts) => parts.flat());
  await fc.assert(
    fc.asyncProperty(sequence, async (names) => {
      await suite.lab.open();
      const { management } = suite.lab;
      const model: Model = { status: 'none', events: [] };
      const seen: string[] = [];
      management.subscribe(undefined, ({ kind }) => seen.push(kind));
      try {
        for (const name of names) await take(name, model, management);
        // A stop resumes what is paused, and that is told unless it has ended by then.
        expect(without('resume', seen)).toEqual(without('resume', model.events));
      } finally {
        await suite.lab.uvm.destroy();
      }
    }),
    { numRuns: 25, endOnFailure: true },
  );
});
