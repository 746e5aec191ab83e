import type { Dirent } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { isAbsence, readCount, readFileIfPresent } from './files.ts';
import type { HugetlbStat, RdmaEntry, RdmaStat } from './gen/metrics.ts';

/** What each version calls the figures of one page size, after "hugetlb.SIZE.". */
export interface HugetlbFiles {
  usage: string;
  max: string;
  /** How often the limit was hit; `prefix` is "DIRECTORY/hugetlb.SIZE". */
  failcnt: (prefix: string) => Promise<bigint>;
}

/** One entry per page size the cgroup has files for; none without the controller. */
export async function readHugetlb(directory: string, files: HugetlbFiles): Promise<HugetlbStat[]> {
  const stats: HugetlbStat[] = [];
  for (const pagesize of await pageSizes(directory, files.usage)) {
    const prefix = `${directory}/hugetlb.${pagesize}`;
    stats.push({
      usage: await readCount(`${prefix}.${files.usage}`),
      max: await readCount(`${prefix}.${files.max}`),
      failcnt: await files.failcnt(prefix),
      pagesize,
    });
  }
  return stats;
}

async function pageSizes(directory: string, suffix: string): Promise<string[]> {
  const sizes: string[] = [];
  for (const { name } of await listDirectory(directory)) {
    const [controller, size, ...rest] = name.split('.');
    if (controller === 'hugetlb' && size !== undefined && rest.join('.') === suffix) {
      sizes.push(size);
    }
  }
  return sizes.sort();
}

/** What is in a directory; nothing when it is not there. */
async function listDirectory(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
}

/** The cgroups directly below one; none when it is gone. */
export async function subdirectories(directory: string): Promise<string[]> {
  const entries = await listDirectory(directory);
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${directory}/${entry.name}`);
}

/** rdma.current and rdma.max are the same in both versions; undefined without the controller. */
export async function readRdma(directory: string): Promise<RdmaStat | undefined> {
  const current = await readFileIfPresent(`${directory}/rdma.current`);
  const limit = await readFileIfPresent(`${directory}/rdma.max`);
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
