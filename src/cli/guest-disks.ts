import { rm } from 'node:fs/promises';
import { NULL_CONTAINER_ID } from '../bridge/message-types.ts';
import type { GuestClient } from '../client/guest.ts';
import { HotplugSession, type PluggedDisk } from '../vm/hotplug.ts';

/** Requests under way at a time: each makes the guest work on its own disk. */
const CONCURRENCY = 4;

export interface DiskRequest {
  /** On the host. */
  readonly file: string;
  /** In the guest. */
  readonly mountPath: string;
  /** The root digest of a read-only disk with dm-verity; undefined: a disk to write on, made ext4. */
  readonly rootDigest: string | undefined;
  /** The file is removed once QEMU has it: it ends with the disk, whatever becomes of this program. */
  readonly temporary?: boolean;
}

interface Disk extends PluggedDisk {
  readonly request: DiskRequest;
  mounted: boolean;
}

/** Disks a VM is given while it runs, mounted by its agent. Disposing takes every one away again. */
export class GuestDisks implements AsyncDisposable {
  readonly #guest: GuestClient;
  readonly #qmpSocket: string;
  readonly #disks: Disk[] = [];

  constructor(guest: GuestClient, qmpSocket: string) {
    this.#guest = guest;
    this.#qmpSocket = qmpSocket;
  }

  /** Plugs them in and has them mounted. After a failure some are: dispose of this. */
  async add(requests: readonly DiskRequest[], signal: AbortSignal): Promise<void> {
    const added: Disk[] = [];
    {
      await using qemu = await HotplugSession.open(this.#qmpSocket, signal);
      for (const request of requests) {
        signal.throwIfAborted();
        const { file, rootDigest, temporary } = request;
        const place = await qemu.plug({ path: file, readOnly: rootDigest !== undefined });
        const disk = { ...place, request, mounted: false };
        this.#disks.push(disk);
        added.push(disk);
        if (temporary === true) await rm(file);
      }
    }
    // A request on its way is not given up: what the guest makes of it would have to be known.
    await inParallel(added, async (disk) => {
      signal.throwIfAborted();
      await this.#mount(disk);
    });
  }

  async #mount(disk: Disk): Promise<void> {
    const { rootDigest, mountPath } = disk.request;
    const kind =
      rootDigest === undefined
        ? { EnsureFilesystem: true, Filesystem: 'ext4' }
        : { ReadOnly: true, VerityInfo: { RootDigest: rootDigest } };
    await this.#modify('Add', 'MappedVirtualDisk', {
      ...address(disk),
      MountPath: mountPath,
      ...kind,
    });
    disk.mounted = true;
  }

  async #release(disk: Disk): Promise<void> {
    // Nobody can be asked any more; what QEMU takes away is then simply gone.
    if (this.#guest.failure !== undefined) return;
    const { mountPath } = disk.request;
    if (disk.mounted) {
      const settings = { ...address(disk), MountPath: mountPath };
      await this.#modify('Remove', 'MappedVirtualDisk', settings);
      disk.mounted = false;
    }
    await this.#modify('Remove', 'SCSIDevice', address(disk));
  }

  async #modify(
    request: 'Add' | 'Remove',
    type: 'MappedVirtualDisk' | 'SCSIDevice',
    settings: object,
  ) {
    await this.#guest.rpc('ModifySettings', {
      ContainerId: NULL_CONTAINER_ID,
      Request: { RequestType: request, ResourceType: type, Settings: settings },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disks.length === 0) return;
    await using unplugging = new AsyncDisposableStack();
    const disks = this.#disks.splice(0);
    unplugging.defer(async () => {
      await using qemu = await HotplugSession.open(this.#qmpSocket);
      for (const disk of disks.reverse()) await qemu.unplug(disk);
    });
    await inParallel(disks, (disk) => this.#release(disk));
  }
}

function address({ controller, lun }: PluggedDisk): { Controller: number; Lun: number } {
  return { Controller: controller, Lun: lun };
}

/** Does all of it, whatever fails, and then throws the first failure. */
async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      await work(item).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  if (failures.length > 0) throw failures[0];
}
