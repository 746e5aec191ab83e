import { existsSync } from 'node:fs';
import { badValue } from '../host-path.ts';
import type { Machine } from './machine.ts';
import { hostNumber, scsiDevice, scsiDisk } from './scsi.ts';
import { entriesOf } from './sysfs.ts';

/** Instances of the SCSI controllers that a host gives every VM, by the host's number of them. */
const CONTROLLERS = [
  'df6d0690-79e5-55b6-a5ec-c1e2f77f580a',
  '0110f83b-de10-5172-a266-78bca56bf50a',
  'b5d2d8d4-3a75-51bf-945b-3444dc6b8579',
  '305891a9-b251-5dfe-91a2-c25d9212275b',
] as const;

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Hyper-V: devices hang on the VMBus, each by its guid. */
export function hyperV(sysfs: string): Machine {
  const vmbus = `${sysfs}/bus/vmbus/devices`;
  const findScsiDevice = (controller: number, lun: number): string | undefined => {
    // The kernel numbers hosts in the order it finds them, which is not the host's order.
    for (const name of entriesOf(`${vmbus}/${CONTROLLERS[controller]}`)) {
      const host = hostNumber(name);
      if (host === undefined) continue;
      const device = scsiDevice(sysfs, host, lun);
      return existsSync(device) ? device : undefined;
    }
    return undefined;
  };
  return {
    name: 'hyper-v',
    findScsiDevice,
    findDisk: (controller, lun) => {
      const device = findScsiDevice(controller, lun);
      return device === undefined ? undefined : scsiDisk(device);
    },
    findPci: (id) => {
      const guid = id.toLowerCase();
      if (!GUID.test(guid)) throw badValue('VMBusGUID', id, 'is not a guid');
      const bus = entriesOf(`${vmbus}/${guid}`).find((name) => name.startsWith('pci'));
      if (bus === undefined) return undefined;
      const device = entriesOf(`${vmbus}/${guid}/${bus}`).find((name) =>
        name.startsWith(bus.slice('pci'.length)),
      );
      return device === undefined ? undefined : `${vmbus}/${guid}/${bus}/${device}`;
    },
  };
}
