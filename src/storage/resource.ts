import type { CombinedLayers } from './combined-layers.ts';
import type { MappedDisk } from './mapped-disk.ts';
import type { MappedPmem } from './mapped-pmem.ts';
import type { SharedDirectory } from './shared-directory.ts';

/** What a host can have mounted in the VM; it is removed by where it is mounted. */
export type StorageResource =
  | ({ readonly kind: 'combined-layers' } & CombinedLayers)
  | ({ readonly kind: 'disk' } & MappedDisk)
  | ({ readonly kind: 'pmem' } & MappedPmem)
  | ({ readonly kind: 'shared-directory' } & SharedDirectory);

export type StorageKind = StorageResource['kind'];
