import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeSpec } from '../../test/support/bundle.ts';
import { createOne, Door, removeOne } from '../door.ts';
import { type Figure, median } from '../figures.ts';
import { RawRunc } from '../raw-runc.ts';
import type { MeasureContext } from '../subject.ts';
import { rested } from '../timing.ts';

const PROCESS = makeSpec({ args: ['true'] }).process ?? {};

/** A command run to its end with its output: through the door, and by `runc exec` in the same container. */
export async function measureExecSync(context: MeasureContext): Promise<Figure[]> {
  await using door = await Door.open(context);
  using runc = new RawRunc();
  const { client } = door;
  const { id } = await createOne(client, context);
  await client.call('container.start', { id });
  const file = join(context.directory, `${id}.json`);
  writeFileSync(file, JSON.stringify(PROCESS));
  const throughDoor = async (): Promise<void> => {
    const { exitCode } = await client.call('process.execSync', { containerId: id, args: ['true'] });
    if (exitCode !== 0) throw new Error(`exec-sync: exit code ${exitCode}`);
  };
  const throughRunc = (): Promise<void> => runc.run('exec', '--process', file, id);
  await throughDoor();
  await throughRunc();
  const [ours, floor]: [number[], number[]] = [[], []];
  const rounds = context.quick ? 8 : 40;
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`command ${round + 1} of ${rounds}`);
    if (round % 2 === 0) ours.push(await rested(throughDoor));
    floor.push(await rested(throughRunc));
    if (round % 2 === 1) ours.push(await rested(throughDoor));
  }
  await removeOne(client, id);
  const extra = median(ours.map((value, round) => value - (floor[round] ?? 0)));
  return [
    {
      name: 'exec-sync.p50',
      label: `exec-sync, p50 (${extra >= 0 ? '+' : '−'}${Math.abs(extra).toFixed(2)} ms in pairs)`,
      value: median(ours),
      unit: 'ms',
      better: 'lower',
      references: [{ name: 'runc exec', value: median(floor) }],
    },
    {
      name: 'exec-sync.extra',
      label: 'exec-sync: what it takes more than runc exec, p50',
      value: extra,
      unit: 'ms',
      better: 'lower',
    },
  ];
}
