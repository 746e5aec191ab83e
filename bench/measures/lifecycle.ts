import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RawAgent } from '../../test/support/agent-process.ts';
import { makeSpec } from '../../test/support/bundle.ts';
import {
  create,
  deleteState,
  exec,
  finish,
  signal,
  startInit,
  wait,
} from '../../test/support/raw-flows.ts';
import { atMost, type Figure, median } from '../figures.ts';
import { initEnded, RawRunc, writeBundle } from '../raw-runc.ts';
import { freshId, type MeasureContext, startSubject } from '../subject.ts';

const STEPS = ['create', 'start', 'exec', 'delete'] as const;
type Step = (typeof STEPS)[number];
type Times = Record<Step, number[]>;

const PROCESS = makeSpec({ args: ['true'] }).process ?? {};

function newTimes(): Times {
  return { create: [], start: [], exec: [], delete: [] };
}

async function timed<T>(into: number[], work: Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work;
  into.push(performance.now() - started);
  return result;
}

function specFor(context: MeasureContext, id: string): object {
  return makeSpec({
    args: ['sleep', '1000'],
    rootPath: context.rootfs,
    cgroupsPath: `/containers/${id}`,
  });
}

async function throughAgent(raw: RawAgent, context: MeasureContext, times: Times): Promise<void> {
  const { host, bridge } = raw;
  const id = freshId();
  const bundle = join(context.directory, id);
  await timed(times.create, create(bridge, id, bundle, specFor(context, id)));
  const init = await timed(times.start, startInit(host, bridge, id));
  const process = await timed(times.exec, exec(host, bridge, id, PROCESS));
  await finish(bridge, id, process);
  const ended = wait(bridge, id, init.pid);
  await signal(bridge, id, init.pid, 9);
  init.stdout?.destroy();
  init.stderr?.destroy();
  await ended;
  await bridge.notification(id);
  await timed(times.delete, deleteState(bridge, id));
}

async function throughRunc(runc: RawRunc, context: MeasureContext, times: Times): Promise<void> {
  const id = freshId();
  const bundle = join(context.directory, id);
  writeBundle(bundle, specFor(context, id));
  const processFile = join(bundle, 'process.json');
  writeFileSync(processFile, JSON.stringify(PROCESS));
  await timed(times.create, runc.create(id, bundle));
  await timed(times.start, runc.start(id));
  await timed(times.exec, runc.exec(id, processFile, join(bundle, 'exec-pid')));
  await runc.run('kill', id, '9');
  await initEnded(bundle);
  await timed(times.delete, runc.delete(id));
}

/** Median of what one side took more than the other in the same round. */
function pairwise(agent: readonly number[], runc: readonly number[]): number {
  return median(agent.map((value, round) => value - (runc[round] ?? 0)));
}

function figure(step: Step, agent: Times, runc: Times): Figure {
  const extra = pairwise(agent[step], runc[step]);
  return {
    name: `${step}.p50`,
    label: `${step}, p50 (${extra >= 0 ? '+' : '−'}${Math.abs(extra).toFixed(2)} ms in pairs)`,
    value: median(agent[step]),
    unit: 'ms',
    better: 'lower',
    references: [{ name: 'raw runc', value: median(runc[step]) }],
    ...(step === 'delete' ? {} : { target: atMost(extra, 1.5, '≤ runc + 1.5 ms') }),
  };
}

/** One container's life, through the agent and by raw runc, taking turns. */
export async function measureLifecycle(context: MeasureContext): Promise<Figure[]> {
  await using raw = await startSubject(context.subject);
  using runc = new RawRunc();
  await throughAgent(raw, context, newTimes());
  await throughRunc(runc, context, newTimes());
  const agentTimes = newTimes();
  const runcTimes = newTimes();
  const rounds = context.quick ? 8 : 40;
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`container ${round + 1} of ${rounds}`);
    // Who goes first changes, so that neither always finds the caches warm.
    if (round % 2 === 0) await throughAgent(raw, context, agentTimes);
    await throughRunc(runc, context, runcTimes);
    if (round % 2 === 1) await throughAgent(raw, context, agentTimes);
  }
  return STEPS.map((step) => figure(step, agentTimes, runcTimes));
}
