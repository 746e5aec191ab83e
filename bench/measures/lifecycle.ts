import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { RawAgent } from '../../test/support/agent-process.ts';
import { makeSpec } from '../../test/support/bundle.ts';
import {
  create,
  deleteState,
  exec,
  finish,
  type RawProcess,
  type StreamChoice,
  signal,
  startInit,
  wait,
} from '../../test/support/raw-flows.ts';
import { atMost, type Figure, median } from '../figures.ts';
import { initEnded, RawRunc, writeBundle } from '../raw-runc.ts';
import { freshId, type MeasureContext, startSubject } from '../subject.ts';
import { TimedRuntime } from '../timed-runtime.ts';
import { rest, rested } from '../timing.ts';

const STEPS = ['create', 'start', 'exec', 'delete'] as const;
type Step = (typeof STEPS)[number];
/** Milliseconds of each step of one container's life. */
type Life = Record<Step, number>;
type Side = 'agent' | 'runc';

const PROCESS = makeSpec({ args: ['true'] }).process ?? {};

function specFor(context: MeasureContext, id: string): object {
  return makeSpec({
    args: ['sleep', '1000'],
    rootPath: context.rootfs,
    cgroupsPath: `/containers/${id}`,
  });
}

/** Like {@link rested}, from the moment the request is sent: the host's own listening is not the agent's time. */
async function timedFromSend(
  work: (choice: StreamChoice) => Promise<RawProcess>,
): Promise<{ process: RawProcess; took: number }> {
  await rest();
  let sent = 0;
  const onSend = (): void => {
    sent = performance.now();
  };
  const process = await work({ stdout: true, stderr: true, onSend });
  return { process, took: performance.now() - sent };
}

/** `spec` is what the runtime was given in the end. */
async function throughAgent(
  raw: RawAgent,
  context: MeasureContext,
): Promise<{ life: Life; spec: Record<string, unknown> }> {
  const { host, bridge } = raw;
  const id = freshId();
  const bundle = join(context.directory, id);
  const created = await rested(() => create(bridge, id, bundle, specFor(context, id)));
  const spec = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8'));
  const started = await timedFromSend((choice) => startInit(host, bridge, id, choice));
  const init = started.process;
  const executed = await timedFromSend((choice) => exec(host, bridge, id, PROCESS, choice));
  await finish(bridge, id, executed.process);
  const ended = wait(bridge, id, init.pid);
  await signal(bridge, id, init.pid, 9);
  init.stdout?.destroy();
  init.stderr?.destroy();
  await ended;
  await bridge.notification(id);
  const deleted = await rested(() => deleteState(bridge, id));
  const life = { create: created, start: started.took, exec: executed.took, delete: deleted };
  return { life, spec };
}

/** The spec without what lies in the bundle of the container it was made for. */
function specLike(spec: Record<string, unknown>, context: MeasureContext, id: string): object {
  const linux = spec.linux as object;
  return {
    ...spec,
    linux: { ...linux, cgroupsPath: `/containers/${id}` },
    mounts: mountsLike(spec, context, id),
  };
}

/** runc is to do the same work: network files of the same names are mounted, from a bundle of its own. */
function mountsLike(spec: Record<string, unknown>, context: MeasureContext, id: string): object[] {
  const bundle = join(context.directory, id);
  return (spec.mounts as { source?: string }[]).map((mount) => {
    const source = mount.source ?? '';
    if (!source.startsWith(`${context.directory}/`)) return mount;
    const file = join(bundle, basename(source));
    mkdirSync(bundle, { recursive: true });
    writeFileSync(file, 'localhost\n');
    return { ...mount, source: file };
  });
}

async function throughRunc(
  runc: RawRunc,
  context: MeasureContext,
  spec: Record<string, unknown>,
): Promise<Life> {
  const id = freshId();
  const bundle = join(context.directory, id);
  writeBundle(bundle, specLike(spec, context, id));
  const processFile = join(bundle, 'process.json');
  writeFileSync(processFile, JSON.stringify(PROCESS));
  const created = await rested(() => runc.create(id, bundle));
  const started = await rested(() => runc.start(id));
  const executed = await rested(() => runc.exec(id, processFile, join(bundle, 'exec-pid')));
  await runc.run('kill', id, '9');
  await initEnded(bundle);
  const deleted = await rested(() => runc.delete(id));
  return { create: created, start: started, exec: executed, delete: deleted };
}

/** The lives in the order they were lived, so that each can be told what runc took of it. */
class Lives {
  readonly #lived: { side: Side; life: Life }[] = [];

  add(side: Side, life: Life): void {
    this.#lived.push({ side, life });
  }

  /** Without the first of each side, in which both warm up. */
  total(side: Side, step: Step): number {
    return median(this.#of(side, (life) => life[step]));
  }

  /** What a step takes beside the time in which runc runs: `taken`, of all lives. */
  around(side: Side, step: Step, taken: readonly number[]): number {
    if (taken.length !== this.#lived.length) {
      throw new Error(`${taken.length} times runc ${step} in ${this.#lived.length} containers`);
    }
    return median(this.#of(side, (life, index) => life[step] - (taken[index] ?? 0)));
  }

  #of(side: Side, value: (life: Life, index: number) => number): number[] {
    return this.#lived
      .flatMap(({ side: lived, life }, index) => (lived === side ? [value(life, index)] : []))
      .slice(1);
  }
}

/**
 * How much longer a step takes through the agent. runc itself takes 10 ms more or less from one time
 * to the next (grace periods of the kernel), which is many times what is asked for here: so each side
 * is held against the runc of its own step, and their differences against each other.
 */
function figure(step: Step, lives: Lives, runtime: TimedRuntime): Figure {
  const taken = runtime.taken(step);
  const extra = lives.around('agent', step, taken) - lives.around('runc', step, taken);
  const sign = extra >= 0 ? '+' : '−';
  return {
    name: `${step}.p50`,
    label: `${step}, p50 (around runc ${sign}${Math.abs(extra).toFixed(2)} ms)`,
    value: lives.total('agent', step),
    unit: 'ms',
    better: 'lower',
    references: [{ name: 'raw runc', value: lives.total('runc', step) }],
    ...(step === 'delete' ? {} : { target: atMost(extra, 1.5, '≤ runc + 1.5 ms') }),
  };
}

/** One container's life, through the agent and by raw runc, taking turns. */
export async function measureLifecycle(context: MeasureContext): Promise<Figure[]> {
  const directory = mkdtempSync(join(context.directory, 'timed-'));
  using runtime = new TimedRuntime(directory);
  await using raw = await startSubject(context.subject);
  using runc = new RawRunc();
  const lives = new Lives();
  const { life, spec } = await throughAgent(raw, context);
  lives.add('agent', life);
  lives.add('runc', await throughRunc(runc, context, spec));
  const rounds = context.quick ? 8 : 40;
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`container ${round + 1} of ${rounds}`);
    // Who goes first changes, so that neither always finds the caches warm.
    if (round % 2 === 0) lives.add('agent', (await throughAgent(raw, context)).life);
    lives.add('runc', await throughRunc(runc, context, spec));
    if (round % 2 === 1) lives.add('agent', (await throughAgent(raw, context)).life);
  }
  return STEPS.map((step) => figure(step, lives, runtime));
}
