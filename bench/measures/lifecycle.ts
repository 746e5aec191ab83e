import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as rest } from 'node:timers/promises';
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

const STEPS = ['create', 'start', 'exec', 'delete'] as const;
type Step = (typeof STEPS)[number];
type Times = Record<Step, number[]>;

const PROCESS = makeSpec({ args: ['true'] }).process ?? {};

function newTimes(): Times {
  return { create: [], start: [], exec: [], delete: [] };
}

/**
 * A process that joins its cgroups within some milliseconds after another has done so is spared a
 * grace period of the kernel (percpu_rw_semaphore), which is most of what `runc exec` takes. Both
 * sides rest before each step, as containers do between the commands of a host; else who comes
 * sooner after the step before would be measured, not who does less.
 */
const REST_MS = 50;

async function timed<T>(into: number[], work: () => Promise<T>): Promise<T> {
  await rest(REST_MS);
  const started = performance.now();
  const result = await work();
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

/** The same from the moment the request is sent: the host's own listening is not the agent's time. */
async function timedFromSend(
  into: number[],
  work: (choice: StreamChoice) => Promise<RawProcess>,
): Promise<RawProcess> {
  await rest(REST_MS);
  let sent = 0;
  const onSend = (): void => {
    sent = performance.now();
  };
  const result = await work({ stdout: true, stderr: true, onSend });
  into.push(performance.now() - sent);
  return result;
}

/** Resolves with the spec the runtime was given in the end. */
async function throughAgent(
  raw: RawAgent,
  context: MeasureContext,
  times: Times,
): Promise<Record<string, unknown>> {
  const { host, bridge } = raw;
  const id = freshId();
  const bundle = join(context.directory, id);
  await timed(times.create, () => create(bridge, id, bundle, specFor(context, id)));
  const spec = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8'));
  const init = await timedFromSend(times.start, (choice) => startInit(host, bridge, id, choice));
  const process = await timedFromSend(times.exec, (choice) =>
    exec(host, bridge, id, PROCESS, choice),
  );
  await finish(bridge, id, process);
  const ended = wait(bridge, id, init.pid);
  await signal(bridge, id, init.pid, 9);
  init.stdout?.destroy();
  init.stderr?.destroy();
  await ended;
  await bridge.notification(id);
  await timed(times.delete, () => deleteState(bridge, id));
  return spec;
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
  times: Times,
  spec: Record<string, unknown>,
): Promise<void> {
  const id = freshId();
  const bundle = join(context.directory, id);
  writeBundle(bundle, specLike(spec, context, id));
  const processFile = join(bundle, 'process.json');
  writeFileSync(processFile, JSON.stringify(PROCESS));
  await timed(times.create, () => runc.create(id, bundle));
  await timed(times.start, () => runc.start(id));
  await timed(times.exec, () => runc.exec(id, processFile, join(bundle, 'exec-pid')));
  await runc.run('kill', id, '9');
  await initEnded(bundle);
  await timed(times.delete, () => runc.delete(id));
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
  const spec = await throughAgent(raw, context, newTimes());
  await throughRunc(runc, context, newTimes(), spec);
  const agentTimes = newTimes();
  const runcTimes = newTimes();
  const rounds = context.quick ? 8 : 40;
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`container ${round + 1} of ${rounds}`);
    // Who goes first changes, so that neither always finds the caches warm.
    if (round % 2 === 0) await throughAgent(raw, context, agentTimes);
    await throughRunc(runc, context, runcTimes, spec);
    if (round % 2 === 1) await throughAgent(raw, context, agentTimes);
  }
  return STEPS.map((step) => figure(step, agentTimes, runcTimes));
}
