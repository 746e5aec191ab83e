import { NULL_CONTAINER } from '../../test/support/raw-client.ts';
import { GUEST_ROOTFS } from '../../test/support/vm-agent.ts';
import { type Figure, median } from '../figures.ts';
import {
  type Load,
  program,
  type StreamKind,
  throughAgent,
  throughProcess,
  withContainer,
} from '../measures/throughput.ts';
import { buildStreamTool } from '../stream-tool.ts';
import type { VmContext } from './context.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB_TO_MIB = 1024;

/** An interpreted processor moves tens of megabytes a second. */
function loads(kind: StreamKind, quick: boolean): Load[] {
  const scale = quick ? 1 / 4 : 1;
  return [
    { name: 'large', bytes: (kind === 'tty' ? 8 : 64) * MIB * scale, chunk: 64 * KIB },
    { name: 'small', bytes: 2 * MIB * scale, chunk: 512 },
  ];
}

/**
 * One kind of stream of a container across the device. Held against a process of the VM whose stream
 * is the vsock itself, with no relay of the agent between (a terminal has one in either case).
 */
export function measureVmStream(kind: StreamKind) {
  return async ({ bench, quick, progress }: VmContext): Promise<Figure[]> => {
    buildStreamTool();
    await bench.useRootfs();
    await using raw = await bench.open();
    const figures: Figure[] = [];
    const place = { rootfs: GUEST_ROOTFS, directory: '/run/gcs/c' };
    await withContainer(raw, place, async (id) => {
      for (const load of loads(kind, quick)) {
        const [ours, direct]: [number[], number[]] = [[], []];
        const rounds = quick ? 1 : 3;
        for (let round = 0; round < rounds; round += 1) {
          progress(`${kind}, ${load.name} writes, round ${round + 1} of ${rounds}`);
          ours.push((await throughAgent(raw, id, kind, load)) * GIB_TO_MIB);
          if (kind === 'tty') continue;
          const parameters = {
            CommandArgs: program(kind, load),
            Environment: { PATH: '/usr/bin:/bin' },
          };
          const rate = await throughProcess(raw, NULL_CONTAINER, kind, load, parameters);
          direct.push(rate * GIB_TO_MIB);
        }
        figures.push(figureOf(kind, load, ours, direct));
      }
    });
    return figures;
  };
}

function figureOf(kind: StreamKind, load: Load, ours: number[], direct: number[]): Figure {
  const size = load.chunk >= KIB ? `${load.chunk / KIB} KiB` : `${load.chunk} B`;
  return {
    name: `vm.${kind}.${load.name}`,
    label: `${kind} across the device, writes of ${size}`,
    value: median(ours),
    unit: 'MiB/s',
    better: 'higher',
    references: direct.length === 0 ? [] : [{ name: 'no relay', value: median(direct) }],
  };
}
