import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hasCode } from '../os/errors.ts';

/** Whether an agent before this one has left anything. */
export function hasState(path: string): boolean {
  const directories = namesIn(path).filter((name) => name !== 'owner');
  return directories.some((name) => namesIn(join(path, name)).length > 0);
}

/** Files and directories of a directory that may not be there. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return [];
    throw error;
  }
}
