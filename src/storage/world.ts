import type { Fd } from '../os/fd.ts';
import type { WatchDevices } from './devices/appearance.ts';
import type { DeviceResolver } from './devices/resolver.ts';
import type { Directories } from './directories.ts';
import type { RunTool } from './tools.ts';

/** What the storage of one VM works with. */
export interface StorageWorld {
  readonly directories: Directories;
  readonly devices: DeviceResolver;
  readonly watchDevices: WatchDevices;
  readonly runTool: RunTool;
  /** Connects to a port of the host. */
  readonly dial: (port: number) => Promise<Fd>;
}
