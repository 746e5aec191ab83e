import type { Fd } from '../os/fd.ts';
import { FsContext, type Propagation, setPropagation } from '../os/mount.ts';
import type { FileSystemType } from './file-system.ts';

/** Replays no journal: the device is not to be written to, not even when it was left unclean. */
const WITHOUT_REPLAY: Readonly<Record<FileSystemType, string | undefined>> = {
  ext4: 'noload',
  xfs: 'norecovery',
  erofs: undefined,
  squashfs: undefined,
};

const ALWAYS_READ_ONLY: readonly FileSystemType[] = ['erofs', 'squashfs'];

/** A mount of a device's file system that is nowhere yet; its owner closes it. */
export async function deviceMount(
  device: string,
  type: FileSystemType,
  options: { readOnly: boolean; flags?: readonly string[] },
): Promise<Fd> {
  const readOnly = options.readOnly || ALWAYS_READ_ONLY.includes(type);
  using context = new FsContext(type);
  context.setString('source', device);
  if (readOnly) {
    context.setFlag('ro');
    const flag = WITHOUT_REPLAY[type];
    if (flag !== undefined) context.setFlag(flag);
  }
  for (const flag of options.flags ?? []) context.setFlag(flag);
  await context.create();
  return context.mount({ readOnly });
}

const PROPAGATION: Readonly<Record<string, { type: Propagation; recursive: boolean }>> = {
  private: { type: 'private', recursive: false },
  shared: { type: 'shared', recursive: false },
  slave: { type: 'slave', recursive: false },
  unbindable: { type: 'unbindable', recursive: false },
  rprivate: { type: 'private', recursive: true },
  rshared: { type: 'shared', recursive: true },
  rslave: { type: 'slave', recursive: true },
  runbindable: { type: 'unbindable', recursive: true },
};

/** Of a list of mount options those of propagation are applied to an attached mount, in order. */
export function applyPropagation(mount: Fd, options: readonly string[]): void {
  for (const option of options) {
    const found = Object.hasOwn(PROPAGATION, option) ? PROPAGATION[option] : undefined;
    if (found !== undefined) setPropagation(mount, found.type, found.recursive);
  }
}
