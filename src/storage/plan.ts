import { combineLayers } from './combined-layers.ts';
import { hostPath } from './host-path.ts';
import { mapDisk } from './mapped-disk.ts';
import { mapPmem } from './mapped-pmem.ts';
import type { MountPlan } from './mount-plan.ts';
import type { StorageResource } from './resource.ts';
import { shareDirectory } from './shared-directory.ts';
import type { StorageWorld } from './world.ts';

/** Checks a resource and says how it is added. Nothing is done yet. Throws AgentError 'invalid-argument'. */
export function planResource(resource: StorageResource, world: StorageWorld): MountPlan {
  switch (resource.kind) {
    case 'combined-layers':
      return combineLayers(resource, world.directories);
    case 'disk':
      return mapDisk(resource, world);
    case 'pmem':
      return mapPmem(resource, world);
    case 'shared-directory':
      return shareDirectory(resource, world);
  }
}

/** Where a resource is mounted, in normal form. */
export function resourcePath(resource: StorageResource): string {
  return resource.kind === 'combined-layers'
    ? hostPath(resource.rootPath, 'ContainerRootPath')
    : hostPath(resource.mountPath, 'MountPath');
}
