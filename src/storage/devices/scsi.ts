import { AgentError } from '../../errors.ts';
import { entriesOf } from './sysfs.ts';

/** Directory of a SCSI device: channel and target are always 0 on the controllers of hosts. */
export function scsiDevice(sysfs: string, host: number, lun: number): string {
  return `${sysfs}/bus/scsi/devices/${host}:0:0:${lun}`;
}

/** Directory of the disk of a SCSI device. */
export function scsiDisk(device: string): string | undefined {
  const disks = entriesOf(`${device}/block`);
  const [name] = disks;
  if (disks.length > 1) {
    throw new AgentError('failed', `${device} has ${disks.length} disks: ${disks.join(', ')}`);
  }
  return name === undefined ? undefined : `${device}/block/${name}`;
}

/** The number in a name as "host3". */
export function hostNumber(name: string): number | undefined {
  const digits = /^host(\d+)$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
