import { createOne, Door, removeOne, several } from '../door.ts';
import { type Figure, median } from '../figures.ts';
import { RawRunc } from '../raw-runc.ts';
import type { MeasureContext } from '../subject.ts';
import { milliseconds } from '../timing.ts';

/** What the door says of 200 containers at once, all of them there: their list and their figures. */
export async function measureMany(context: MeasureContext): Promise<Figure[]> {
  const count = context.quick ? 40 : 200;
  await using door = await Door.open(context);
  using runc = new RawRunc();
  const { client } = door;
  const made = await several(count, (index) => {
    context.progress(`container ${index + 1} of ${count}`);
    return createOne(client, context);
  });
  const ids = made.map(({ id }) => id);
  const list = async (): Promise<void> => {
    const { containers } = await client.call('container.list', {});
    const known = containers.filter(({ status }) => status === 'created');
    if (known.length !== count) throw new Error(`${known.length} of ${count} are listed`);
  };
  const stats = async (): Promise<void> => {
    const answer = await client.call('container.stats', { ids });
    const whole = answer.stats.filter(({ metrics }) => 'memory' in metrics);
    if (whole.length !== count) throw new Error(`figures of ${whole.length} of ${count}`);
  };
  await list();
  await stats();
  const times: Record<'list' | 'stats' | 'runc', number[]> = { list: [], stats: [], runc: [] };
  const rounds = context.quick ? 3 : 15;
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`list and figures, round ${round + 1} of ${rounds}`);
    times.list.push(await milliseconds(list));
    times.stats.push(await milliseconds(stats));
    times.runc.push(await milliseconds(() => runc.run('list', '-q')));
  }
  await several(count, (index) => removeOne(client, ids[index] ?? ''));
  const figure = (name: 'list' | 'stats', label: string): Figure => ({
    name: `${name}.${count}.p50`,
    label: `${label} of ${count} containers, p50`,
    value: median(times[name]),
    unit: 'ms',
    better: 'lower',
  });
  return [
    {
      ...figure('list', 'container.list'),
      references: [{ name: 'runc list -q', value: median(times.runc) }],
    },
    figure('stats', 'container.stats'),
  ];
}
