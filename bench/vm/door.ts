import { setTimeout as delay } from 'node:timers/promises';
import { connectManagement } from '../../src/client/management/index.ts';
import { makeSpec } from '../../test/support/bundle.ts';
import { memoryOf } from '../../test/support/proc.ts';
import { exec, finish } from '../../test/support/raw-flows.ts';
import { GUEST_ROOTFS, shellOf } from '../../test/support/vm-agent.ts';
import { createOne, removeOne } from '../door.ts';
import { type Figure, median } from '../figures.ts';
import { doorMemoryFigures } from '../measures/door-memory.ts';
import type { VmContext } from './context.ts';

/** Milliseconds: where a VM is interpreted the door's code is loaded for seconds. */
const CONNECT_MS = 60_000;

/** A command run to its end across the device: through the door, and as an exec of the bridge. */
export async function measureVmExecSync({ bench, quick, progress }: VmContext): Promise<Figure[]> {
  await bench.useRootfs();
  await using session = await bench.open();
  await using client = await connectManagement(session.host.path, { timeoutMs: CONNECT_MS });
  const { id } = await createOne(client, { rootfs: GUEST_ROOTFS });
  await client.call('container.start', { id });
  const { process = {} } = makeSpec({ args: ['true'] });
  const [ours, bridge]: [number[], number[]] = [[], []];
  const rounds = quick ? 3 : 15;
  for (let round = 0; round < rounds; round += 1) {
    progress(`command ${round + 1} of ${rounds}`);
    let started = performance.now();
    const { exitCode } = await client.call('process.execSync', { containerId: id, args: ['true'] });
    if (exitCode !== 0) throw new Error(`exec-sync: exit code ${exitCode}`);
    ours.push(performance.now() - started);
    started = performance.now();
    const all = { stdout: true, stderr: true };
    await finish(session.bridge, id, await exec(session.host, session.bridge, id, process, all));
    bridge.push(performance.now() - started);
  }
  await removeOne(client, id);
  return [
    {
      name: 'vm.exec-sync.p50',
      label: 'exec-sync across the device, p50',
      value: median(ours),
      unit: 'ms',
      better: 'lower',
      references: [{ name: 'exec of the bridge', value: median(bridge) }],
    },
  ];
}

/** Memory of the guest's agent before and after its first client; of a VM that nobody has managed yet. */
export async function measureVmDoorMemory({ bench, progress }: VmContext): Promise<Figure[]> {
  await bench.boot();
  await using session = await bench.open();
  const shell = shellOf(session);
  const agent = async () => memoryOf(await shell('cat /proc/$PPID/smaps_rollup'));
  progress('the agent comes to rest');
  await delay(3000);
  const before = await agent();
  await using client = await connectManagement(session.host.path, { timeoutMs: CONNECT_MS });
  await client.call('container.list', {});
  await delay(3000);
  return doorMemoryFigures('vm.door.memory', before, await agent());
}
