import { connectManagement } from '../../src/client/management/index.ts';
import { untilProcessEnds } from '../../src/os/process-end.ts';
import { createOne, Door, execSleep, removeOne } from '../door.ts';
import { type Figure, median, quantile } from '../figures.ts';
import type { MeasureContext } from '../subject.ts';

/** From the moment the kernel says that a process has ended to the event at a subscriber. */
export async function measureEvents(context: MeasureContext): Promise<Figure[]> {
  await using door = await Door.open(context);
  const { client } = door;
  await using subscriber = await connectManagement(door.raw.host.path);
  const waiting = new Map<string, (at: number) => void>();
  using _events = subscriber.connection.on('event', ({ kind, processId = '' }) => {
    if (kind === 'exit') waiting.get(processId)?.(performance.now());
  });
  await subscriber.call('events.subscribe', {});
  const { id } = await createOne(client, context);
  await client.call('container.start', { id });
  const latencies: number[] = [];
  const rounds = context.quick ? 20 : 150;
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`event ${round + 1} of ${rounds}`);
    const { pid, processId } = await execSleep(client, id);
    const told = new Promise<number>((resolve) => waiting.set(processId, resolve));
    const ended = untilProcessEnds(pid).then(() => performance.now());
    process.kill(pid, 'SIGKILL');
    latencies.push((await told) - (await ended));
    waiting.delete(processId);
    await client.call('process.delete', { containerId: id, processId });
  }
  await removeOne(client, id);
  const figure = (name: string, value: number): Figure => ({
    name: `event.${name}`,
    label: `exit to event at a subscriber, ${name}`,
    value,
    unit: 'ms',
    better: 'lower',
  });
  return [figure('p50', median(latencies)), figure('p99', quantile(latencies, 0.99))];
}
