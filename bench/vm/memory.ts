import { setTimeout as delay } from 'node:timers/promises';
import { type Memory, memoryOf } from '../../test/support/proc.ts';
import { shellOf } from '../../test/support/vm-agent.ts';
import { atMost, type Figure } from '../figures.ts';
import type { VmContext } from './context.ts';

const KINDS = [
  ['private', 'private'],
  ['anonymous', 'of no file'],
  ['pss', 'PSS'],
  ['rss', 'RSS'],
] as const;

/** Memory of the idle agent and of init as the guest's kernel counts it, by a process of the VM. */
export async function measureGuestMemory({ bench, progress }: VmContext): Promise<Figure[]> {
  await using session = await bench.open();
  const shell = shellOf(session);
  // What the start leaves to the engine's idle time is not part of being idle.
  progress('the agent comes to rest');
  await delay(3000);
  const agent = memoryOf(await shell('cat /proc/$PPID/smaps_rollup'));
  const init = memoryOf(await shell('cat /proc/1/smaps_rollup'));
  const machine = await shell('cat /proc/meminfo');
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(machine)?.[1]);
  return [
    ...figures('agent', 'agent', agent, 'MiB'),
    ...figures('init', 'init', init, 'KiB'),
    {
      name: 'vm.memory.guest',
      label: 'guest without caches: total less available',
      value: (field('MemTotal') - field('MemAvailable')) / 1024,
      unit: 'MiB',
      better: 'lower',
    },
  ];
}

function figures(name: string, label: string, memory: Memory, unit: 'MiB' | 'KiB'): Figure[] {
  return KINDS.map(([kind, words]) => {
    const value = unit === 'MiB' ? memory[kind] / 1024 : memory[kind];
    return {
      name: `vm.memory.${name}.${kind}`,
      label: `memory of ${label}, ${words}`,
      value,
      unit,
      better: 'lower',
      ...(name === 'init' && kind === 'rss' ? { target: atMost(value, 1024, '≤ 1 MiB') } : {}),
    };
  });
}
