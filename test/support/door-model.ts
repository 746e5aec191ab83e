/** All that can be asked of a container by the door and the bridge, beside what ought to become of it. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import {
  connectManagement,
  type ManagementClient,
  ManagementConnectionError,
  ManagementRequestError,
} from '../../src/client/management/index.ts';
import {
  all,
  lifeCycle,
  missing,
  type Outcome,
  type Outcomes,
  type Status,
} from './life-cycle-model.ts';
import { shellProcess, spec } from './suite.ts';
import type { SupervisedSession } from './supervised-agent.ts';

/** What a container ought to be. */
export interface ModelContainer {
  status: Status;
  /** Of init, once it was seen: it must stay what it is. */
  exitCode: number | undefined;
  /** Execs by name: their exit codes, undefined while they run. */
  execs: Map<string, number | undefined>;
}

export type Model = Map<string, ModelContainer>;

export function modelOf(model: Model, id: string): ModelContainer {
  const known = model.get(id) ?? { status: 'none', exitCode: undefined, execs: new Map() };
  model.set(id, known);
  return known;
}

interface Step {
  readonly expected: Outcomes;
  run(real: Real, id: string, container: ModelContainer): Promise<unknown>;
}

const SIGKILL = 9;
const init = { args: ['sh', '-c', 'trap "exit 3" TERM; sleep 1000 & wait'] };

/** Of an end by SIGTERM or SIGKILL. */
const endings = [3, 137];

export const steps = {
  'create by the door': {
    expected: lifeCycle.create,
    run: (real, id) =>
      real.client.call('container.create', {
        id,
        spec: spec(init),
        log: { path: real.log(id) },
      }),
  },
  'create by the bridge': {
    expected: all('!', { none: 'created' }),
    run: (real, id) => real.session.create(id, init),
  },
  'start by the door': {
    expected: lifeCycle.start,
    run: (real, id) => real.client.call('container.start', { id }),
  },
  'start by the bridge': {
    expected: all('!', { created: 'running' }),
    run: (real, id) => real.session.startInit(id, {}),
  },
  pause: {
    expected: lifeCycle.pause,
    run: (real, id) => real.client.call('container.pause', { id }),
  },
  resume: {
    expected: lifeCycle.resume,
    run: (real, id) => real.client.call('container.resume', { id }),
  },
  'exec to its end': {
    expected: lifeCycle.exec,
    run: async (real, containerId) => {
      const { processId } = await real.client.exec(containerId, shellProcess('exit 4'));
      const exit = await real.client.call('process.wait', { containerId, processId });
      expect(exit.exitCode).toBe(4);
      await real.client.call('process.delete', { containerId, processId });
    },
  },
  'exec by the bridge': {
    // A runtime may exec in a container that is not started.
    expected: all('!', { created: '?', running: 'running' }),
    run: async (real, id) => {
      const { exitCode, stdout } = await real.session.finish(
        id,
        await real.session.sh(id, 'echo there; exit 4'),
      );
      expect([exitCode, stdout]).toEqual([4, 'there\n']);
    },
  },
  'exec that goes on': {
    expected: lifeCycle.exec,
    run: async (real, id, { execs }) => {
      const processId = real.nextName();
      await real.client.exec(id, shellProcess('exec sleep 1000'), {}, { processId });
      execs.set(processId, undefined);
    },
  },
  'kill an exec': {
    expected: all('?'),
    run: async (real, containerId, { status, execs }) => {
      const [processId] = [...execs].find(([, code]) => code === undefined) ?? [];
      // A frozen one takes its signal when it is thawed.
      if (processId === undefined || status !== 'running') return;
      const process = { containerId, processId };
      await real.client.call('process.signal', { ...process, signal: 'KILL' });
      expect((await real.client.call('process.wait', process)).exitCode).toBe(137);
      execs.set(processId, 137);
    },
  },
  'forget an exec': {
    expected: all('?'),
    run: async (real, containerId, { execs }) => {
      const [processId] = [...execs].find(([, code]) => code !== undefined) ?? [];
      if (processId === undefined) return;
      await real.client.call('process.delete', { containerId, processId });
      execs.delete(processId);
    },
  },
  execSync: {
    expected: lifeCycle.exec,
    run: async (real, containerId) => {
      const args = ['sh', '-c', 'echo x; exit 6'];
      const { exitCode, stdout } = await real.client.call('process.execSync', {
        containerId,
        args,
      });
      expect([exitCode, String(stdout)]).toEqual([6, 'x\n']);
    },
  },
  'kill by the door': {
    expected: lifeCycle.kill,
    run: (real, id) => real.client.call('container.signal', { id, signal: 'KILL' }),
  },
  'kill all': {
    expected: lifeCycle.kill,
    run: (real, id) => real.client.call('container.signal', { id, signal: 'KILL', all: true }),
  },
  'kill by the bridge': {
    expected: all('stopped', { none: '!', stopped: '!' }),
    run: async (real, id, { status }) => {
      const pid = status === 'none' ? 1 : await real.pidOf(id);
      await real.session.signal(id, pid, SIGKILL);
    },
  },
  stop: {
    expected: lifeCycle.stop,
    run: (real, id) => real.client.call('container.stop', { id, timeoutMs: 50 }),
  },
  update: {
    expected: lifeCycle.update,
    run: (real, id) =>
      real.client.call('container.update', {
        id,
        resources: { memory: { limit: 256 * 1024 * 1024 } },
      }),
  },
  stats: {
    expected: all('?', { none: missing, running: 'running', paused: 'paused' }),
    run: (real, id) => real.client.call('container.stats', { ids: [id] }),
  },
  'delete by the door': {
    expected: lifeCycle.delete,
    run: (real, id) => real.client.call('container.delete', { id }),
  },
  'delete by the bridge': {
    expected: all('none', { none: '!', running: '!', paused: '!' }),
    run: (real, id) => real.session.delete(id),
  },
  'delete by force': {
    expected: lifeCycle['delete by force'],
    run: (real, id) => real.client.call('container.delete', { id, force: true }),
  },
} as const satisfies Readonly<Record<string, Step>>;

export type StepName = keyof typeof steps;
export const stepNames = Object.keys(steps) as StepName[];

/** A supervised agent, and this host's connections with the one that runs now. */
export class Real {
  readonly session: SupervisedSession;
  #client: ManagementClient | undefined;
  #names = 0;

  constructor(session: SupervisedSession) {
    this.session = session;
  }

  get client(): ManagementClient {
    if (this.#client === undefined) throw new Error('connect() was not called');
    return this.#client;
  }

  async connect(): Promise<void> {
    this.#client?.close();
    this.#client = await connectManagement(this.session.raw.host.path, { timeoutMs: 60_000 });
  }

  close(): void {
    this.#client?.close();
  }

  nextName(): string {
    this.#names += 1;
    return `p${this.#names}`;
  }

  log(id: string): string {
    return join(this.session.supervised.directory, `${id}.log`);
  }

  async pidOf(id: string): Promise<number> {
    const { processes } = await this.client.call('container.inspect', { id });
    return processes.find(({ processId }) => processId === 'init')?.pid ?? 0;
  }

  async statuses(): Promise<Record<string, string>> {
    const { containers } = await this.client.call('container.list', {});
    return Object.fromEntries(containers.map(({ id, status }) => [id, status]));
  }

  /** How a step ends: 'done', 'lost' with the agent, or `!code` (`!` where the bridge has refused). */
  async outcome(name: StepName, id: string, container: ModelContainer): Promise<string> {
    const { bridge } = this.session;
    try {
      const step: Step = steps[name];
      await step.run(this, id, container);
      return 'done';
    } catch (error) {
      if (error instanceof ManagementRequestError) return `!${error.code}`;
      if (error instanceof ManagementConnectionError || bridge.failure !== undefined) return 'lost';
      if (!name.endsWith('by the bridge')) throw error;
      return '!';
    }
  }
}

/** Requires of a step that was answered what the model says, and lets the model follow. */
export async function follow(
  name: StepName,
  id: string,
  outcome: string,
  real: Real,
  model: Model,
): Promise<void> {
  const container = modelOf(model, id);
  const expected: Outcome = steps[name].expected[container.status];
  const what = `${name} of ${id} while ${container.status}`;
  if (expected === '?') return;
  if (expected === '!') expect(outcome, what).toMatch(/^!/);
  else expect(outcome, what).toBe(expected.startsWith('!') ? expected : 'done');
  if (!expected.startsWith('!')) await become(expected as Status, id, real, container);
}

/** The container is in this status now, with all that comes with it. */
export async function become(
  status: Status,
  id: string,
  real: Real,
  container: ModelContainer,
): Promise<void> {
  if (status === 'stopped' && container.status !== 'stopped') {
    container.exitCode = (await real.client.call('container.wait', { id })).exitCode;
    expect(endings).toContain(container.exitCode);
    // Their pid namespace has ended.
    for (const [name, code] of container.execs) container.execs.set(name, code ?? 137);
  }
  if (status === 'none') {
    container.execs.clear();
    container.exitCode = undefined;
    rmSync(real.log(id), { force: true });
  }
  container.status = status;
}

/** Requires that all there is is what the model says. */
export async function compare(real: Real, model: Model): Promise<void> {
  const present = [...model].filter(([, { status }]) => status !== 'none');
  const statuses = Object.fromEntries(present.map(([id, { status }]) => [id, status]));
  expect(await real.statuses()).toEqual(statuses);
  for (const [id, { status }] of model) {
    if (status === 'none') expect(existsSync(real.log(id)), `log of ${id}`).toBe(false);
  }
  for (const [id, { exitCode, execs }] of present) {
    if (exitCode !== undefined) {
      expect((await real.client.call('container.wait', { id })).exitCode).toBe(exitCode);
    }
    const { processes } = await real.client.call('process.list', { containerId: id });
    const others = processes.filter(({ processId }) => execs.has(processId));
    expect(others.map(({ processId }) => processId).toSorted()).toEqual(
      [...execs.keys()].toSorted(),
    );
    for (const [processId, code] of execs) {
      const process = { containerId: id, processId };
      if (code === undefined) {
        expect((await real.client.call('process.state', process)).status).toBe('running');
      } else expect((await real.client.call('process.wait', process)).exitCode).toBe(code);
    }
  }
}

/** Of a process that has ended. */
export async function codeOfEnd(
  real: Real,
  containerId: string,
  processId: string,
): Promise<number> {
  return (await real.client.call('process.wait', { containerId, processId })).exitCode;
}
