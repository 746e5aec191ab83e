import { badValue } from './host-path.ts';
import type { RunTool } from './tools.ts';

/** File systems we make. */
export const formats = ['ext4', 'xfs'] as const;
export type Format = (typeof formats)[number];

export function parseFormat(name: string, field: string): Format {
  const found = formats.find((format) => format === name);
  if (found === undefined) throw badValue(field, name, `is not one of ${formats.join(', ')}`);
  return found;
}

/** Makes a file system on a device, whatever it holds. */
export async function makeFileSystem(device: string, format: Format, run: RunTool): Promise<void> {
  switch (format) {
    case 'ext4':
      return await run('mkfs.ext4', ['-q', '-F', device]);
    case 'xfs':
      return await run('mkfs.xfs', ['-q', '-f', device]);
  }
}
