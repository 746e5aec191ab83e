import type { Fd } from '../os/fd.ts';
import { cloneMount, setReadOnly } from '../os/mount.ts';

/** A read-only view of a directory, nowhere yet. */
export function attachableReadOnlyBind(directory: Fd): Fd {
  const mount = cloneMount(directory);
  try {
    setReadOnly(mount);
    return mount;
  } catch (error) {
    mount.close();
    throw error;
  }
}
