import { join } from 'node:path';
import type { RawAgent } from '../../test/support/agent-process.ts';
import { makeSpec } from '../../test/support/bundle.ts';
import { create, deleteState, finish, startInit } from '../../test/support/raw-flows.ts';
import { type Figure, median } from '../figures.ts';
import { initEnded, RawRunc, writeBundle } from '../raw-runc.ts';
import { freshId, type MeasureContext, startSubject } from '../subject.ts';
import { milliseconds } from '../timing.ts';

const CONTAINERS = 32;

function specFor(context: MeasureContext, id: string): object {
  return makeSpec({
    args: 'echo done; exit 3',
    rootPath: context.rootfs,
    cgroupsPath: `/containers/${id}`,
  });
}

async function lifeThroughAgent(raw: RawAgent, context: MeasureContext): Promise<void> {
  const { host, bridge } = raw;
  const id = freshId();
  await create(bridge, id, join(context.directory, id), specFor(context, id));
  const result = await finish(bridge, id, await startInit(host, bridge, id));
  if (result.exitCode !== 3 || result.stdout !== 'done\n') {
    throw new Error(`container ${id}: exit code ${result.exitCode}, output ${result.stdout}`);
  }
  await deleteState(bridge, id);
}

async function lifeThroughRunc(runc: RawRunc, context: MeasureContext): Promise<void> {
  const id = freshId();
  const bundle = join(context.directory, id);
  writeBundle(bundle, specFor(context, id));
  await runc.create(id, bundle);
  await runc.start(id);
  await initEnded(bundle);
  await runc.delete(id);
}

function together(life: () => Promise<void>): Promise<number> {
  return milliseconds(() => Promise.all(Array.from({ length: CONTAINERS }, life)));
}

/** 32 containers at once, each from create to delete with its output and exit code checked. */
export async function measureCrowd(context: MeasureContext): Promise<Figure[]> {
  await using raw = await startSubject(context.subject);
  using runc = new RawRunc();
  const agent: number[] = [];
  const floor: number[] = [];
  const rounds = context.quick ? 1 : 3;
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`${CONTAINERS} containers at once, round ${round + 1} of ${rounds}`);
    agent.push(await together(() => lifeThroughAgent(raw, context)));
    floor.push(await together(() => lifeThroughRunc(runc, context)));
  }
  return [
    {
      name: 'crowd.total',
      label: `${CONTAINERS} containers at once, create to delete`,
      value: median(agent),
      unit: 'ms',
      better: 'lower',
      references: [{ name: 'raw runc', value: median(floor) }],
    },
  ];
}
