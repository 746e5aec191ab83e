import { badValue } from './host-path.ts';
import type { RunTool } from './tools.ts';

/** File systems we make. */
const formats = ['ext4', 'xfs'] as const;
export type Format = (typeof formats)[number];

export function parseFormat(name: string, field: string): Format {
  const found = formats.find((format) => format === name);
  if (found === undefined) throw badValue(field, name, `is not one of ${formats.join(', ')}`);
  return found;
}

/**
 * ext4's backup superblocks are written in parts of a block, for which the rest of the block is read
 * first. Nobody will ever need them on a disk whose key is gone after its only use.
 */
const NO_BACKUPS = ['-b', '4096', '-O', 'sparse_super2', '-E', 'num_backup_sb=0,nodiscard'];

/** Makes a file system on a device, whatever it holds. `unreadable`: blocks never written cannot be read. */
export async function makeFileSystem(
  device: string,
  format: Format,
  run: RunTool,
  options: { unreadable: boolean },
): Promise<void> {
  const { unreadable } = options;
  switch (format) {
    case 'ext4':
      return await run('mkfs.ext4', ['-q', '-F', ...(unreadable ? NO_BACKUPS : []), device]);
    case 'xfs':
      return await run('mkfs.xfs', ['-q', '-f', ...(unreadable ? ['-K'] : []), device]);
  }
}
