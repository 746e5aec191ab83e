import { combineLayers } from './combined-layers.ts';
import { hostPath } from './host-path.ts';
import type { MountPlan } from './mount-plan.ts';
import type { StorageResource } from './resource.ts';
import type { StorageWorld } from './world.ts';

/** Checks a resource and says how it is added. Nothing is done yet. Throws AgentError 'invalid-argument'. */
export function planResource(resource: StorageResource, world: StorageWorld): MountPlan {
  switch (resource.kind) {
    case 'combined-layers':
      return combineLayers(resource, world.directories);
  }
}

/** Where a resource is mounted, in normal form. */
export function resourcePath(resource: StorageResource): string {
  switch (resource.kind) {
    case 'combined-layers':
      return hostPath(resource.rootPath, 'ContainerRootPath');
  }
}
