import {
  array,
  boolean,
  doc,
  i32,
  object,
  omitZero,
  optional,
  string,
  u8,
  u32,
  u64,
} from '../../schema/schema.ts';

const mountPath = omitZero(
  doc('Where it is mounted; made when missing, else it must be empty', string),
);
const controller = omitZero(
  doc('0 to 3: by guid on Hyper-V, else the virtio-scsi controllers by PCI address', u8),
);
const lun = omitZero(
  doc('Of target 0; without such a controller the virtio-blk disk with serial number gcs-C-L', u8),
);

const verityInfo = optional(
  doc(
    'Present: dm-verity checks each block; the superblock behind the file system says how',
    object({
      RootDigest: omitZero(
        doc('Hexadecimal. Another one on the disk is refused; empty: that of the disk', string),
      ),
    }),
  ),
);

const combinedLayers = object({
  ContainerID: omitZero(doc('For error texts', string)),
  ContainerRootPath: omitZero(
    doc('Where the root is mounted; made when missing, else it must be empty', string),
  ),
  Layers: omitZero(
    doc('Topmost first, 1 to 128', array(object({ Id: omitZero(string), Path: omitZero(string) }))),
  ),
  ScratchPath: omitZero(
    doc('Holds `upper` and `work`, made when missing; without it the root is read-only', string),
  ),
});

const mappedVirtualDisk = object({
  MountPath: omitZero(doc('Empty: nothing is done. Else made when missing, or empty', string)),
  Controller: controller,
  Lun: lun,
  Partition: omitZero(doc('From 1; 0: the whole disk', u64)),
  ReadOnly: omitZero(doc('Also no journal is replayed', boolean)),
  Encrypted: omitZero(
    doc('Made empty, with a key that nobody has; authenticated encryption', boolean),
  ),
  Options: omitZero(doc('Of these the propagation is set: `rshared` …', array(string))),
  BlockDev: omitZero(doc('No mount: MountPath becomes a link to the device', boolean)),
  VerityInfo: verityInfo,
  EnsureFilesystem: omitZero(doc('Make the file system when the disk has another', boolean)),
  Filesystem: omitZero(
    doc('ext4, xfs, erofs or squashfs (made: ext4, xfs); empty: what is found', string),
  ),
});

export const scsiDevice = object({ Controller: controller, Lun: lun });

const vpmemDevice = object({
  DeviceNumber: omitZero(doc('N of /dev/pmemN', u32)),
  MountPath: mountPath,
  MappingInfo: optional(
    doc(
      'Only this part of the device; multiples of 512',
      object({ DeviceOffsetInBytes: omitZero(u64), DeviceSizeInBytes: omitZero(u64) }),
    ),
  ),
  VerityInfo: verityInfo,
});

const mappedDirectory = object({
  MountPath: mountPath,
  Port: omitZero(doc('Vsock port of a 9p server of the host', i32)),
  ShareName: omitZero(doc('Its `aname`', string)),
  Tag: omitZero(doc('Of a virtiofs device, instead of Port and ShareName; ours', string)),
  ReadOnly: omitZero(boolean),
});

const vpciDevice = object({
  VMBusGUID: omitZero(
    doc('Waits until the device is there; outside Hyper-V a PCI address: 0000:00:05.0', string),
  ),
});

/** Settings by ResourceType. */
export const storageSettings = {
  MappedVirtualDisk: mappedVirtualDisk,
  SCSIDevice: scsiDevice,
  VPMemDevice: vpmemDevice,
  CombinedLayers: combinedLayers,
  MappedDirectory: mappedDirectory,
  VPCIDevice: vpciDevice,
} as const;
