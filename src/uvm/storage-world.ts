import type { Reaper } from '../os/reaper.ts';
import { watchUevents } from '../storage/devices/appearance.ts';
import { machineDevices } from '../storage/devices/sysfs-resolver.ts';
import { Directories } from '../storage/directories.ts';
import { toolRunner } from '../storage/tools.ts';
import type { StorageWorld } from '../storage/world.ts';
import type { Transport } from '../vsock/transport.ts';

/** The storage of the machine the agent runs on. */
export function storageWorld(dependencies: { reaper: Reaper; transport: Transport }): StorageWorld {
  const { reaper, transport } = dependencies;
  return {
    directories: new Directories(),
    devices: machineDevices(),
    watchDevices: watchUevents,
    runTool: toolRunner(reaper),
    dial: async (port) => (await transport.dial(port)).takeFd(),
  };
}
