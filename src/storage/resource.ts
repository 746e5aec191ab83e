import type { CombinedLayers } from './combined-layers.ts';

/** What a host can have mounted in the VM. `mountPath` is its name: what it is removed by. */
export type StorageResource = { readonly kind: 'combined-layers' } & CombinedLayers;

export type StorageKind = StorageResource['kind'];
