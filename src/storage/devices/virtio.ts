import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { hasCode } from '../../os/errors.ts';
import { badValue } from '../host-path.ts';
import type { Machine } from './machine.ts';
import { hostNumber, scsiDevice, scsiDisk } from './scsi.ts';
import { attribute, entriesOf } from './sysfs.ts';

const PCI_ADDRESS = /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

/** Serial number of a virtio-blk disk that stands for a disk of a SCSI controller; at most 20 bytes. */
function virtioBlkSerial(controller: number, lun: number): string {
  return `gcs-${controller}-${lun}`;
}

/** Where a link of sysfs leads; undefined when it has gone. */
function target(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** SCSI hosts of virtio-scsi controllers in the order of their places on the bus. */
function scsiHosts(sysfs: string): number[] {
  const hosts: { host: number; place: string }[] = [];
  for (const name of entriesOf(`${sysfs}/class/scsi_host`)) {
    const host = hostNumber(name);
    // …/0000:00:04.0/virtio1/host2
    const place = target(`${sysfs}/class/scsi_host/${name}/device`);
    if (host === undefined || place === undefined) continue;
    const driver = target(`${dirname(place)}/driver`);
    if (driver !== undefined && basename(driver) === 'virtio_scsi') hosts.push({ host, place });
  }
  hosts.sort((a, b) => (a.place < b.place ? -1 : 1));
  return hosts.map(({ host }) => host);
}

/**
 * QEMU, Firecracker, Cloud Hypervisor: a disk is lun L of target 0 on the C-th virtio-scsi
 * controller by PCI address, or a virtio-blk device with the serial number `gcs-C-L`. An assigned
 * PCI device is named by its address.
 */
export function virtio(sysfs: string): Machine {
  const findScsiDevice = (controller: number, lun: number): string | undefined => {
    const host = scsiHosts(sysfs)[controller];
    if (host === undefined) return undefined;
    const device = scsiDevice(sysfs, host, lun);
    return existsSync(device) ? device : undefined;
  };
  const findVirtioBlk = (controller: number, lun: number): string | undefined => {
    const serial = virtioBlkSerial(controller, lun);
    const name = entriesOf(`${sysfs}/block`).find(
      (disk) => disk.startsWith('vd') && attribute(`${sysfs}/block/${disk}/serial`) === serial,
    );
    return name === undefined ? undefined : `${sysfs}/block/${name}`;
  };
  return {
    name: 'virtio',
    findScsiDevice,
    findDisk: (controller, lun) => {
      const device = findScsiDevice(controller, lun);
      return device === undefined ? findVirtioBlk(controller, lun) : scsiDisk(device);
    },
    findPci: (id) => {
      const address = id.toLowerCase();
      if (!PCI_ADDRESS.test(address)) {
        throw badValue('VMBusGUID', id, 'is not the address of a PCI device (0000:00:05.0)');
      }
      const path = `${sysfs}/bus/pci/devices/${address}`;
      return existsSync(path) ? path : undefined;
    },
  };
}
