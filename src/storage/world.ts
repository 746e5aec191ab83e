import type { Directories } from './directories.ts';

/** What the storage of one VM works with. */
export interface StorageWorld {
  readonly directories: Directories;
}
