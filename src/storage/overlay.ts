import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { FsContext } from '../os/mount.ts';
import { fdPath } from '../os/openat2.ts';
import type { MountTarget } from './mount-target.ts';

/** Where changes go; both on one file system. */
export interface Writable {
  upper: Fd;
  work: Fd;
}

/**
 * Mounts an overlay of directories that are given by their descriptors, so that no path, however
 * long and whatever characters it has, is parsed again. `layers` topmost first; without `writable`
 * it is read-only. See the kernel's Documentation/filesystems/overlayfs.rst.
 */
export async function mountOverlay(
  target: MountTarget,
  layers: readonly Fd[],
  writable: Writable | undefined,
  scope: DisposableStack,
): Promise<void> {
  const context = scope.use(new FsContext('overlay'));
  context.setString('source', 'overlay');
  if (!takesDescriptors(context, layers)) {
    await mountByNames(target, layers, writable);
    return;
  }
  for (const layer of layers.slice(1)) context.setFd('lowerdir+', layer);
  if (writable === undefined) {
    context.setFlag('ro');
  } else {
    context.setFd('upperdir', writable.upper);
    context.setFd('workdir', writable.work);
  }
  await context.create();
  target.attach(scope.use(context.mount({ readOnly: writable === undefined })));
}

/**
 * Linux 6.13 has it. Older ones know no such option; before 6.5 overlayfs had no options beyond text
 * at all, which is another error.
 */
function takesDescriptors(context: FsContext, layers: readonly Fd[]): boolean {
  const [first] = layers;
  if (first === undefined) return false;
  try {
    context.setFd('lowerdir+', first);
    return true;
  } catch (error) {
    if (hasCode(error, 'EINVAL') || hasCode(error, 'ENOTSUP')) return false;
    throw error;
  }
}

/**
 * For older kernels: one text for mount(2), of at most a page, in which the names in /proc/self/fd
 * stand for the directories.
 */
export async function mountByNames(
  target: MountTarget,
  layers: readonly Fd[],
  writable: Writable | undefined,
): Promise<void> {
  const options = [`lowerdir=${layers.map(fdPath).join(':')}`];
  if (writable !== undefined) {
    options.push(`upperdir=${fdPath(writable.upper)}`, `workdir=${fdPath(writable.work)}`);
  }
  await target.mountByPath({
    source: 'overlay',
    type: 'overlay',
    readOnly: writable === undefined,
    data: options.join(','),
  });
}
