import { readdirSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { isAbsence, readCount, readFileIfPresent } from './files.ts';
import type { HugetlbStat, RdmaEntry, RdmaStat } from './gen/metrics.ts';

/** What each version calls the figures of one page size, after "hugetlb.SIZE.". */
export interface HugetlbFiles {
  usage: string;
  max: string;
  /** How often the limit was hit; `prefix` is "DIRECTORY/hugetlb.SIZE". */
  failcnt: (prefix: string) => bigint;
}

/** One entry per page size the cgroup has files for; none without the controller. */
export function readHugetlb(directory: string, files: HugetlbFiles): HugetlbStat[] {
  const stats: HugetlbStat[] = [];
  for (const pagesize of pageSizes(directory, files.usage)) {
    const prefix = `${directory}/hugetlb.${pagesize}`;
    stats.push({
      usage: readCount(`${prefix}.${files.usage}`),
      max: readCount(`${prefix}.${files.max}`),
      failcnt: files.failcnt(prefix),
      pagesize,
    });
  }
  return stats;
}

function pageSizes(directory: string, suffix: string): string[] {
  const sizes: string[] = [];
  for (const name of namesIn(directory)) {
    if (!name.startsWith('hugetlb.')) continue;
    const [, size, ...rest] = name.split('.');
    if (size !== undefined && rest.join('.') === suffix) sizes.push(size);
  }
  return sizes.sort();
}

/** What is in a directory; nothing when it is not there. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
}

/** The cgroups directly below one; none when it is gone. Not at once: a container may have made any number of them. */
export async function subdirectories(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${directory}/${entry.name}`);
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
}

/** rdma.current and rdma.max are the same in both versions; undefined without the controller. */
export function readRdma(directory: string): RdmaStat | undefined {
  const current = readFileIfPresent(`${directory}/rdma.current`);
  const limit = readFileIfPresent(`${directory}/rdma.max`);
  if (current === undefined && limit === undefined) return undefined;
  return { current: parseRdma(current ?? ''), limit: parseRdma(limit ?? '') };
}

/** Lines "mlx4_0 hca_handle=2 hca_object=2000"; "max" is 2^32 - 1. */
function parseRdma(text: string): RdmaEntry[] {
  const entries: RdmaEntry[] = [];
  for (const line of text.split('\n')) {
    const [device, ...pairs] = line.split(' ');
    if (device === undefined || device === '') continue;
    const value = (name: string): number => {
      const figure = pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
      return figure === 'max' ? 0xffff_ffff : Number(figure ?? 0) >>> 0;
    };
    entries.push({ device, hca_handles: value('hca_handle'), hca_objects: value('hca_object') });
  }
  return entries;
}
