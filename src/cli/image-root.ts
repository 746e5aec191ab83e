import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { NULL_CONTAINER_ID } from '../bridge/message-types.ts';
import type { GuestClient } from '../client/guest.ts';
import type { CachedLayer } from '../image/index.ts';
import { type DiskRequest, GuestDisks } from './guest-disks.ts';

export interface ImageRootOptions {
  readonly guest: GuestClient;
  /** Of the container. */
  readonly id: string;
  /** Where in the guest its root is to be. */
  readonly root: string;
  /** The lowest layer first. */
  readonly disks: readonly CachedLayer[];
  readonly scratchBytes: number;
  /** For the file of the scratch disk. */
  readonly scratchDirectory: string;
  readonly qmpSocket: string;
  readonly signal: AbortSignal;
}

/** The root of a container in a VM: its layers and a scratch disk, combined. */
export class ImageRoot implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;

  private constructor(stack: AsyncDisposableStack) {
    this.#stack = stack;
  }

  /** All of it, or nothing is left. */
  static async mount(options: ImageRootOptions): Promise<ImageRoot> {
    const { guest, id, root, signal } = options;
    await using stack = new AsyncDisposableStack();
    const place = `/run/mounts/gcsctl/${id}`;
    const layers = options.disks.map(
      ({ path, rootDigest }, index): DiskRequest => ({
        ...{ file: path, rootDigest, mountPath: `${place}/${index}` },
      }),
    );
    const scratch: DiskRequest = {
      file: await makeScratch(options, stack),
      mountPath: `${place}/scratch`,
      rootDigest: undefined,
      temporary: true,
    };
    const disks = stack.use(new GuestDisks(guest, options.qmpSocket));
    await disks.add([...layers, scratch], signal);
    signal.throwIfAborted();
    const combined = {
      ContainerID: id,
      ContainerRootPath: root,
      // The topmost first.
      Layers: layers.map(({ mountPath }, index) => ({ Id: `${index}`, Path: mountPath })).reverse(),
      ScratchPath: scratch.mountPath,
    };
    await modify(guest, 'Add', combined);
    stack.defer(async () => {
      if (guest.failure === undefined) await modify(guest, 'Remove', combined);
    });
    return new ImageRoot(stack.move());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

async function modify(guest: GuestClient, request: 'Add' | 'Remove', settings: object) {
  await guest.rpc('ModifySettings', {
    ContainerId: NULL_CONTAINER_ID,
    Request: { RequestType: request, ResourceType: 'CombinedLayers', Settings: settings },
  });
}

/** A sparse file, gone with its directory at the latest when the stack is. */
async function makeScratch(
  { scratchBytes, scratchDirectory }: ImageRootOptions,
  stack: AsyncDisposableStack,
): Promise<string> {
  await mkdir(scratchDirectory, { recursive: true, mode: 0o700 });
  const directory = await mkdtemp(join(scratchDirectory, 'scratch-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'disk');
  await using file = await open(path, 'wx', 0o600);
  await file.truncate(scratchBytes);
  return path;
}
