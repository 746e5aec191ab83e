/** How one kind of machine shows its devices in sysfs. All searches are of this moment. */
export interface Machine {
  readonly name: string;
  /** Directory of the disk in sysfs. */
  findDisk(controller: number, lun: number): string | undefined;
  /** Directory of the SCSI device, which has `delete`; undefined also for a disk that is no SCSI device. */
  findScsiDevice(controller: number, lun: number): string | undefined;
  /** Throws AgentError 'invalid-argument' for what is no id. */
  findPci(id: string): string | undefined;
}

/** Controllers that hosts number. */
export const SCSI_CONTROLLERS = 4;
