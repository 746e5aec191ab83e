import { AgentError } from '../errors.ts';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { FsContext } from '../os/mount.ts';
import { shutdown } from '../os/socket.ts';
import { untilSucceeds } from './devices/appearance.ts';
import { badValue, hostPath } from './host-path.ts';
import { storageLimits } from './limits.ts';
import type { MountPlan } from './mount-plan.ts';
import { MountTarget } from './mount-target.ts';
import type { StorageWorld } from './world.ts';

const DIRECTORY_MODE = 0o700;
/** Bytes of a 9p message: what LCOW's servers expect. */
const MESSAGE_SIZE = 65536;
/** The option string of 9p knows no quoting. */
const SHARE_NAME = /^[A-Za-z0-9_.+@/-]{0,255}$/;
/** virtio specification, 5.11.4: the length of a tag. */
const LONGEST_TAG = 36;

/** A directory of the host: a 9p server behind a vsock port, or a virtiofs device with a tag. */
export interface SharedDirectory {
  mountPath: string;
  readOnly: boolean;
  source:
    | { readonly kind: '9p'; readonly port: number; readonly share: string }
    | { readonly kind: 'virtiofs'; readonly tag: string };
}

/** Undefined while no device has the tag: the kernel says EINVAL. */
async function openShare(tag: string, readOnly: boolean): Promise<FsContext | undefined> {
  const context = new FsContext('virtiofs');
  try {
    context.setString('source', tag);
    if (readOnly) context.setFlag('ro');
    await context.create();
    return context;
  } catch (error) {
    context[Symbol.dispose]();
    if (hasCode(error, 'EINVAL')) return undefined;
    throw error;
  }
}

export function shareDirectory(directory: SharedDirectory, world: StorageWorld): MountPlan {
  const { source, readOnly } = directory;
  const path = hostPath(directory.mountPath, 'MountPath');
  const target = new MountTarget(path, 'MountPath', world.directories);
  const make = target.makeStep(DIRECTORY_MODE);
  if (source.kind === 'virtiofs') {
    const { tag } = source;
    checkTag(tag);
    const mount = target.mountStep('mount the share', async (scope) => {
      // A host may ask as soon as it has plugged the device in, before the guest has found it.
      const context = await untilSucceeds(
        `virtiofs device with tag ${JSON.stringify(tag)}`,
        () => openShare(tag, readOnly),
        world.watchDevices,
      );
      scope.use(context);
      target.attach(scope.use(context.mount({ readOnly })));
    });
    return { path, title: `share ${tag}`, needs: [], steps: [make, mount] };
  }
  const { port, share } = source;
  checkNineP(port, share);
  let connection: Fd | undefined;
  const connect = {
    name: 'connect to the server',
    run: async (scope: DisposableStack) => {
      connection = scope.use(await world.dial(port));
    },
  };
  const mount = target.mountStep('mount the share', async (scope) => {
    if (connection === undefined) throw new Error('not connected');
    target.attach(scope.use(await mountNineP(connection, share, readOnly)));
  });
  return {
    path,
    title: `share ${share} at port ${port}`,
    needs: [],
    steps: [connect, make, mount],
  };
}

/** The kernel speaks 9p over the connection from here on, and closes it after the unmount. */
async function mountNineP(connection: Fd, share: string, readOnly: boolean): Promise<Fd> {
  using context = new FsContext('9p');
  context.setString('source', share === '' ? 'share' : share);
  context.setString('trans', 'fd');
  context.setString('rfdno', `${connection.raw}`);
  context.setString('wfdno', `${connection.raw}`);
  context.setString('msize', `${MESSAGE_SIZE}`);
  if (share !== '') context.setString('aname', share);
  if (readOnly) context.setFlag('ro');
  let late = false;
  // The kernel waits for the server without a limit; the end of the connection ends that.
  const timer = setTimeout(() => {
    late = true;
    shutdown(connection, 'both');
  }, storageLimits.shareAnswerMs);
  try {
    await context.create();
  } catch (error) {
    if (!late) throw error;
    throw new AgentError('failed', `the server of share ${share} does not answer`, {
      operation: 'mount a share',
      errno: 'ETIMEDOUT',
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
  return context.mount({ readOnly });
}

function checkNineP(port: number, share: string): void {
  if (port < 1) throw badValue('Port', port, 'is not a port');
  if (!SHARE_NAME.test(share)) {
    throw badValue('ShareName', share, 'holds other characters than letters, digits and _.+@/-');
  }
}

function checkTag(tag: string): void {
  const size = Buffer.byteLength(tag);
  if (size > 0 && size <= LONGEST_TAG && !tag.includes('\0')) return;
  throw badValue('Tag', tag, `is not a tag of 1 to ${LONGEST_TAG} bytes`);
}
