import { VmDirectory, type VmState, vmBase } from '../vm/directory.ts';
import type { Io } from './io.ts';

/** The VM of "gcsctl vm …" commands that name none. */
export const DEFAULT_VM = 'default';

export function vmDirectory(name: string | undefined, io: Io): VmDirectory {
  return new VmDirectory(vmBase(io.env), name ?? DEFAULT_VM);
}

export interface VmTarget {
  readonly directory: VmDirectory;
  readonly state: VmState;
}

/** The running VM of that name. Throws VmError 'not-found'. */
export function vmTarget(name: string, io: Io): VmTarget {
  const directory = vmDirectory(name, io);
  return { directory, state: directory.requireRunning() };
}
