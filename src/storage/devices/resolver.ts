/** Where a disk hangs in the host's view. */
export interface DiskAddress {
  /** Number of the SCSI controller, 0 to 3. */
  controller: number;
  lun: number;
  /** From 1; 0: the whole disk. */
  partition: number;
}

/**
 * Finds the devices a host speaks of. Each search waits until the kernel has announced the device,
 * at most storageLimits.deviceAppearMs; then it rejects with an AgentError with errno ETIMEDOUT.
 */
export interface DeviceResolver {
  /** For the log: "hyper-v", "virtio". */
  readonly name: string;
  /** Path of the block device node. */
  disk(address: DiskAddress, options?: { signal?: AbortSignal }): Promise<string>;
  /** Path of the node of a persistent memory device. */
  pmem(number: number, options?: { signal?: AbortSignal }): Promise<string>;
  /** Path in sysfs of an assigned PCI device. Throws 'invalid-argument' for an id that is none. */
  pci(id: string, options?: { signal?: AbortSignal }): Promise<string>;
  /** Takes a SCSI disk off the guest's bus. One that is not there is off already. */
  unplug(address: { controller: number; lun: number }): Promise<void>;
}
