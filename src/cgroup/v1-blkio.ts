import { parseCount, readFileIfPresent } from './files.ts';
import type { BlkIOEntry, BlkIOStat } from './gen/metrics.ts';

/** File of each list, after "blkio."; only CFQ-era kernels have all of them. */
const files = {
  io_service_bytes_recursive: 'io_service_bytes_recursive',
  io_serviced_recursive: 'io_serviced_recursive',
  io_queued_recursive: 'io_queued_recursive',
  io_service_time_recursive: 'io_service_time_recursive',
  io_wait_time_recursive: 'io_wait_time_recursive',
  io_merged_recursive: 'io_merged_recursive',
  io_time_recursive: 'time_recursive',
  sectors_recursive: 'sectors_recursive',
} as const satisfies Record<keyof BlkIOStat, string>;

/** Block I/O of a v1 cgroup; undefined when the controller has nothing there. */
export function readBlkio(directory: string): BlkIOStat | undefined {
  const stat: BlkIOStat = {
    io_service_bytes_recursive: [],
    io_serviced_recursive: [],
    io_queued_recursive: [],
    io_service_time_recursive: [],
    io_wait_time_recursive: [],
    io_merged_recursive: [],
    io_time_recursive: [],
    sectors_recursive: [],
  };
  let present = false;
  for (const key of Object.keys(files) as (keyof BlkIOStat)[]) {
    const text = readFileIfPresent(`${directory}/blkio.${files[key]}`);
    if (text === undefined) continue;
    present = true;
    stat[key] = parseEntries(text);
  }
  // Without CFQ, or on devices that do not use it, only the throttling layer counts.
  for (const key of ['io_service_bytes_recursive', 'io_serviced_recursive'] as const) {
    if (stat[key].length > 0) continue;
    const name = key.replace('_recursive', '');
    const text =
      readFileIfPresent(`${directory}/blkio.throttle.${name}_recursive`) ??
      readFileIfPresent(`${directory}/blkio.throttle.${name}`);
    if (text === undefined) continue;
    present = true;
    stat[key] = parseEntries(text);
  }
  if (!present) return undefined;
  nameDevices(stat);
  return stat;
}

/** Lines "8:0 Read 4096" or "8:0 4096"; the closing "Total N" over all devices is left out. */
function parseEntries(text: string): BlkIOEntry[] {
  const entries: BlkIOEntry[] = [];
  for (const line of text.split('\n')) {
    const match = /^(\d+):(\d+) (?:([A-Za-z]+) )?(\d+)$/.exec(line);
    const [, major, minor, op = '', figure] = match ?? [];
    const value = parseCount(figure ?? '');
    if (major === undefined || minor === undefined || value === undefined) continue;
    entries.push({ op, device: '', major: BigInt(major), minor: BigInt(minor), value });
  }
  return entries;
}

function nameDevices(stat: BlkIOStat): void {
  const entries = Object.values(stat).flat() as BlkIOEntry[];
  if (entries.length === 0) return;
  const names = parsePartitions(readFileIfPresent('/proc/partitions') ?? '');
  for (const entry of entries) entry.device = names.get(`${entry.major}:${entry.minor}`) ?? '';
}

/** Device path by "major:minor" from proc_partitions(5); the first name of a device counts. */
export function parsePartitions(text: string): Map<string, string> {
  const names = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\s*(\d+)\s+(\d+)\s+\d+\s+(\S+)\s*$/.exec(line);
    const [, major, minor, name] = match ?? [];
    if (name === undefined || names.has(`${major}:${minor}`)) continue;
    names.set(`${major}:${minor}`, `/dev/${name}`);
  }
  return names;
}
