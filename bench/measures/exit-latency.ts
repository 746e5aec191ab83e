import { join } from 'node:path';
import { untilProcessEnds } from '../../src/os/process-end.ts';
import { makeSpec } from '../../test/support/bundle.ts';
import { create, deleteState, startInit, wait } from '../../test/support/raw-flows.ts';
import { type Figure, median, quantile } from '../figures.ts';
import { freshId, type MeasureContext, startSubject } from '../subject.ts';

/** From the moment the kernel says that init has ended to the host's notification. */
export async function measureExit(context: MeasureContext): Promise<Figure[]> {
  await using raw = await startSubject(context.subject);
  const { host, bridge } = raw;
  const waits: number[] = [];
  const notifications: number[] = [];
  const rounds = context.quick ? 10 : 40;
  for (let round = 0; round < rounds; round += 1) {
    context.progress(`exit ${round + 1} of ${rounds}`);
    const id = freshId();
    const spec = makeSpec({
      args: ['sleep', '1000'],
      rootPath: context.rootfs,
      cgroupsPath: `/containers/${id}`,
    });
    await create(bridge, id, join(context.directory, id), spec);
    const init = await startInit(host, bridge, id, {});
    let ended = 0;
    const end = untilProcessEnds(init.pid).then(() => {
      ended = performance.now();
    });
    const waited = wait(bridge, id, init.pid).then(() => performance.now());
    const notified = bridge.notification(id).then(() => performance.now());
    process.kill(init.pid, 'SIGKILL');
    await end;
    waits.push((await waited) - ended);
    notifications.push((await notified) - ended);
    await deleteState(bridge, id);
  }
  return [
    {
      name: 'exit.wait.p50',
      label: 'exit to wait reply, p50',
      value: median(waits),
      unit: 'ms',
      better: 'lower',
    },
    {
      name: 'exit.notification.p50',
      label: 'exit to notification, p50',
      value: median(notifications),
      unit: 'ms',
      better: 'lower',
    },
    {
      name: 'exit.notification.p99',
      label: 'exit to notification, p99',
      value: quantile(notifications, 0.99),
      unit: 'ms',
      better: 'lower',
    },
  ];
}
