import type { StorageResource } from '../../storage/resource.ts';
import { combinedLayers } from '../messages/storage.ts';
import type { Schema } from '../schema.ts';
import { type AnyResource, resource } from './resource.ts';

/** A resource that is added to the VM, and removed by where it is mounted. */
function mounted<Settings>(
  settings: Schema<Settings, never>,
  toResource: (settings: Settings) => StorageResource,
): AnyResource {
  return resource({
    settings,
    requests: ['Add', 'Remove'],
    ofContainers: false,
    apply: async (change, { uvm }) => {
      const resource = toResource(change.settings);
      if (change.requestType === 'Add') await uvm.resources.add(resource);
      else await uvm.resources.remove(resource);
    },
  });
}

/** Disks, layers, shares and what else of a VM's storage ModifySettings changes. */
export const storageResources = {
  CombinedLayers: mounted(combinedLayers, (settings) => ({
    kind: 'combined-layers',
    containerId: settings.ContainerID,
    rootPath: settings.ContainerRootPath,
    layers: settings.Layers.map(({ Path }) => Path),
    scratchPath: settings.ScratchPath,
  })),
} as const satisfies Readonly<Record<string, AnyResource>>;
