import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { VmUpResult } from '../../src/cli/vm-up.ts';
import { ownArchitecture } from '../../src/vm/image.ts';
import { atMost, type Figure, median } from '../figures.ts';
import type { VmContext } from './context.ts';

const BUILD = fileURLToPath(new URL('../../build', import.meta.url));
const MIB = 2 ** 20;

/** From QEMU's start to the reply to Negotiate, phase by phase; and what had to be read for it. */
export async function measureBoot({ bench, quick, progress }: VmContext): Promise<Figure[]> {
  const boots: VmUpResult[] = [];
  const rounds = quick ? 1 : 3;
  for (let round = 1; round <= rounds; round += 1) {
    progress(`boot ${round} of ${rounds}`);
    boots.push(await bench.boot());
  }
  return [...phases(boots), ...sizes()];
}

function phases(boots: readonly VmUpResult[]): Figure[] {
  const between = (from: string, to: string): number =>
    median(boots.map(({ milliseconds: at }) => ((at[to] ?? NaN) - (at[from] ?? NaN)) / 1000));
  const how = boots[0]?.acceleration === 'kvm' ? 'KVM' : 'TCG';
  const phase = (name: string, label: string, from: string, to: string): Figure => ({
    name: `vm.boot.${name}`,
    label: `${label}, ${how}`,
    value: between(from, to),
    unit: 's',
    better: 'lower',
  });
  const whole = phase('negotiated', 'QEMU started to negotiated', 'qemu', 'negotiated');
  return [
    phase('kernel', 'QEMU started to init', 'qemu', 'init'),
    phase('init', 'init to start of Node', 'init', 'agent'),
    phase('agent', "agent's own share: start of Node to negotiated", 'agent', 'negotiated'),
    { ...whole, target: atMost(whole.value, 15, '≤ 15 s') },
  ];
}

function sizes(): Figure[] {
  const name = ownArchitecture();
  const size = (path: string): number => statSync(join(BUILD, path)).size;
  const init = size(`init/${name}/init`) / 1024;
  const root = size(`vm/${name}/root.erofs`) / MIB;
  const target = { unit: 'MiB', better: 'lower' } as const;
  return [
    {
      ...{ name: 'vm.size.init', label: 'init, static', value: init, unit: 'KiB', better: 'lower' },
      target: atMost(init, 100, '≤ 100 KiB'),
    },
    {
      ...{ name: 'vm.size.root', label: 'root image, compressed', value: root, ...target },
      target: atMost(root, 80, '≤ 80 MiB'),
    },
    {
      ...{ name: 'vm.size.initramfs', label: 'initramfs that finds it', ...target },
      value: size(`vm/${name}/initramfs.img`) / MIB,
    },
  ];
}
