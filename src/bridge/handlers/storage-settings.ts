import { AgentError } from '../../errors.ts';
import type { OutOf, Schema } from '../../schema/schema.ts';
import type { StorageResource } from '../../storage/resource.ts';
import type { SharedDirectory } from '../../storage/shared-directory.ts';
import { storageSettings } from '../messages/storage.ts';
import { type AnyResource, resource } from './resource.ts';

/** A resource that is added to the VM, and removed by where it is mounted. */
function mounted<Settings>(
  settings: Schema<Settings, never>,
  toResource: (settings: Settings) => StorageResource | undefined,
): AnyResource {
  return resource({
    settings,
    requests: ['Add', 'Remove'],
    ofContainers: false,
    apply: async (change, { uvm }) => {
      const wanted = toResource(change.settings);
      if (wanted === undefined) return;
      if (change.requestType === 'Add') await uvm.resources.add(wanted);
      else await uvm.resources.remove(wanted);
    },
  });
}

function toVerity(info: { RootDigest: string } | undefined) {
  return info === undefined ? undefined : { rootDigest: info.RootDigest };
}

function toDisk(settings: OutOf<typeof storageSettings.MappedVirtualDisk>) {
  // Attached, and not to be mounted.
  if (settings.MountPath === '') return undefined;
  return {
    kind: 'disk',
    mountPath: settings.MountPath,
    controller: settings.Controller,
    lun: settings.Lun,
    partition: toPartition(settings.Partition),
    readOnly: settings.ReadOnly,
    encrypted: settings.Encrypted,
    options: settings.Options,
    blockDevice: settings.BlockDev,
    ensureFileSystem: settings.EnsureFilesystem,
    fileSystem: settings.Filesystem,
    verity: toVerity(settings.VerityInfo),
  } as const;
}

function toPartition(value: number | bigint): number {
  if (typeof value === 'number') return value;
  throw new AgentError('invalid-argument', `Partition: ${value} is no partition`, {
    field: 'Partition',
  });
}

function toSource(
  settings: OutOf<typeof storageSettings.MappedDirectory>,
): SharedDirectory['source'] {
  const { Port, ShareName, Tag } = settings;
  if (Tag === '') return { kind: '9p', port: Port, share: ShareName };
  if (Port === 0 && ShareName === '') return { kind: 'virtiofs', tag: Tag };
  throw new AgentError('invalid-argument', 'Tag: not together with Port or ShareName', {
    field: 'Tag',
  });
}

/** Disks, layers, shares and what else of a VM's storage ModifySettings changes. */
export const storageResources = {
  CombinedLayers: mounted(storageSettings.CombinedLayers, (settings) => ({
    kind: 'combined-layers',
    containerId: settings.ContainerID,
    rootPath: settings.ContainerRootPath,
    layers: settings.Layers.map(({ Path }) => Path),
    scratchPath: settings.ScratchPath,
  })),
  MappedVirtualDisk: mounted(storageSettings.MappedVirtualDisk, toDisk),
  VPMemDevice: mounted(storageSettings.VPMemDevice, (settings) => {
    const slice = settings.MappingInfo;
    return {
      kind: 'pmem',
      device: settings.DeviceNumber,
      mountPath: settings.MountPath,
      slice:
        slice === undefined
          ? undefined
          : { offset: slice.DeviceOffsetInBytes, size: slice.DeviceSizeInBytes },
      verity: toVerity(settings.VerityInfo),
    };
  }),
  MappedDirectory: mounted(storageSettings.MappedDirectory, (settings) => ({
    kind: 'shared-directory',
    mountPath: settings.MountPath,
    readOnly: settings.ReadOnly,
    source: toSource(settings),
  })),
  SCSIDevice: resource({
    settings: storageSettings.SCSIDevice,
    requests: ['Remove'],
    ofContainers: false,
    apply: async ({ settings: { Controller, Lun } }, { uvm }) => {
      await uvm.resources.unplugDisk({ controller: Controller, lun: Lun });
    },
  }),
  VPCIDevice: resource({
    settings: storageSettings.VPCIDevice,
    requests: ['Add'],
    ofContainers: false,
    apply: async ({ settings }, { uvm }) => {
      await uvm.resources.awaitPciDevice(settings.VMBusGUID);
    },
  }),
} as const satisfies Readonly<Record<string, AnyResource>>;
