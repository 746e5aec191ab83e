/** `npm run bench -- --vm`: the virtual machine, and the agent in it across the vsock device. */

import { Interruption } from './cleanup.ts';
import type { Figure } from './figures.ts';
import type { BenchOptions } from './options.ts';
import { showing } from './progress.ts';
import type { Result } from './table.ts';
import { measureBoot } from './vm/boot.ts';
import { VmBench, type VmContext } from './vm/context.ts';
import { measureVmDoorMemory, measureVmExecSync } from './vm/door.ts';
import { measureGuestMemory } from './vm/memory.ts';
import { measureVmRpc } from './vm/rpc.ts';
import { measureVmStream } from './vm/streams.ts';

export const VM_MEASURES: Record<string, (context: VmContext) => Promise<Figure[]>> = {
  boot: measureBoot,
  memory: measureGuestMemory,
  rpc: measureVmRpc,
  stdout: measureVmStream('stdout'),
  stdin: measureVmStream('stdin'),
  tty: measureVmStream('tty'),
  'exec-sync': measureVmExecSync,
  'door-memory': measureVmDoorMemory,
};

/** Boots VMs as the measures ask for them; none is left. */
export async function measureInVm(options: BenchOptions): Promise<Result[]> {
  await using bench = new VmBench();
  using interruption = new Interruption(() => bench.kill());
  const results: Result[] = [];
  for (const name of options.only.length > 0 ? options.only : Object.keys(VM_MEASURES)) {
    const body = VM_MEASURES[name];
    if (!body) throw new Error(`no measure ${name}`);
    const figures = await showing(name, 'VM', interruption, (progress) =>
      body({ bench, quick: options.quick, progress }),
    );
    results.push(...figures.map((figure) => ({ figure })));
  }
  return results;
}
