import { type BigIntStatsFs, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { AgentError } from '../errors.ts';
import { hasCode } from '../os/errors.ts';

const MIB = 1024n * 1024n;

/** The figures of the file system that holds `path`, or would hold it. */
function nearest(path: string): BigIntStatsFs | undefined {
  for (let each = path; ; each = dirname(each)) {
    try {
      return statfsSync(each, { bigint: true });
    } catch (error) {
      if (!hasCode(error, 'ENOENT') || each === '/') return undefined;
    }
  }
}

/** An ENOSPC tells nothing of what ran out; this adds it. Every other error is returned as it is. */
export function explainNoSpace(error: unknown, path: string): unknown {
  if (!hasCode(error, 'ENOSPC')) return error;
  const stats = nearest(path);
  if (stats === undefined) return error;
  const { bsize, blocks, bavail, files, ffree } = stats;
  const mib = (count: bigint) => `${(count * bsize) / MIB} MiB`;
  const what = `${mib(bavail)} of ${mib(blocks)} and ${ffree} of ${files} inodes are free`;
  return new AgentError('failed', `no space left at ${path}: ${what}`, {
    errno: 'ENOSPC',
    cause: error,
  });
}
