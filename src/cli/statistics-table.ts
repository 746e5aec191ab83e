import type { Result } from '../management/contract.ts';
import type { Integer } from '../spec/oci.ts';
import { binaryBytes, decimalBytes } from './format.ts';

export type Sample = Result<'container.stats'>['stats'][number];

/** What the table shows of the metrics, in the names of cgroup v1. */
interface Metrics {
  readonly cpu?: { readonly usage?: { readonly total?: Integer } };
  readonly memory?: {
    readonly usage?: { readonly usage?: Integer; readonly limit?: Integer };
    readonly total_inactive_file?: Integer;
  };
  readonly pids?: { readonly current?: Integer; readonly limit?: Integer };
  readonly blkio?: {
    readonly io_service_bytes_recursive?: readonly {
      readonly op?: string;
      readonly value?: Integer;
    }[];
  };
}

export const STATISTICS_HEADING = [
  'CONTAINER ID',
  'CPU %',
  'MEM USAGE / LIMIT',
  'MEM %',
  'NET I/O',
  'BLOCK I/O',
  'PIDS',
] as const;

/**
 * One row. Processor time is a share of one processor since `before`; memory is without the file
 * pages the kernel would give back first, of the limit or else of the machine's `memoryBytes`.
 */
export function statisticsRow(
  sample: Sample,
  before: Sample | undefined,
  memoryBytes: number,
): string[] {
  const { memory, pids, blkio } = sample.metrics as Metrics;
  const pages = number(memory?.usage?.usage);
  const used = Math.max(0, pages - number(memory?.total_inactive_file));
  const limit = number(memory?.usage?.limit);
  // Without a limit it is a number beyond any memory.
  const most = limit > 0 && limit < memoryBytes ? limit : memoryBytes;
  const [received, sent] = traffic(sample);
  const most_processes = number(pids?.limit);
  return [
    sample.id,
    cpuShare(sample, before),
    `${binaryBytes(used)} / ${binaryBytes(most)}`,
    percent(most === 0 ? 0 : used / most),
    `${decimalBytes(received)} / ${decimalBytes(sent)}`,
    `${decimalBytes(blockBytes(blkio, 'read'))} / ${decimalBytes(blockBytes(blkio, 'write'))}`,
    most_processes === 0 || most_processes > 4_194_304
      ? String(number(pids?.current))
      : `${number(pids?.current)} / ${most_processes}`,
  ];
}

function cpuShare(sample: Sample, before: Sample | undefined): string {
  if (before === undefined || sample.at <= before.at) return '--';
  const used = cpuTime(sample) - cpuTime(before);
  return percent(Math.max(0, used) / ((sample.at - before.at) * 1e6));
}

/** Nanoseconds. */
function cpuTime({ metrics }: Sample): number {
  return number((metrics as Metrics).cpu?.usage?.total);
}

function traffic({ network }: Sample): [received: number, sent: number] {
  let received = 0;
  let sent = 0;
  for (const { rxBytes, txBytes } of network) {
    received += number(rxBytes);
    sent += number(txBytes);
  }
  return [received, sent];
}

function blockBytes(blkio: Metrics['blkio'], operation: string): number {
  return (blkio?.io_service_bytes_recursive ?? [])
    .filter(({ op }) => op?.toLowerCase() === operation)
    .reduce((sum, { value }) => sum + number(value), 0);
}

function number(value: Integer | undefined): number {
  return Number(value ?? 0);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(2)}%`;
}
