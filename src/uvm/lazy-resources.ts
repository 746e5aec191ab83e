import type { Logger } from '../log/logger.ts';
import type { Reaper } from '../os/reaper.ts';
import type { Journal } from '../state/journal.ts';
import type { StorageResource } from '../storage/resource.ts';
import type { Transport } from '../vsock/transport.ts';
import type { ResourceOperations } from './operations.ts';
import type { Resources } from './resources.ts';

interface Dependencies {
  reaper: Reaper;
  transport: Transport;
  logger: Logger;
  journal: Journal;
  containerAt: (path: string) => string | undefined;
}

/** The resources of the VM, with all code for disks and mounts loaded when the first is asked for. */
export class LazyResources implements ResourceOperations {
  readonly #dependencies: Dependencies;
  #loaded: Promise<Resources> | undefined;
  /** The same once it is there. */
  #resources: Resources | undefined;

  constructor(dependencies: Dependencies) {
    this.#dependencies = dependencies;
  }

  async add(resource: StorageResource): Promise<void> {
    await (await this.#load()).add(resource);
  }

  async remove(resource: StorageResource): Promise<void> {
    await (await this.#load()).remove(resource);
  }

  async unplugDisk(disk: { controller: number; lun: number }): Promise<void> {
    await (await this.#load()).unplugDisk(disk);
  }

  async awaitPciDevice(id: string): Promise<void> {
    await (await this.#load()).awaitPciDevice(id);
  }

  /** See {@link Resources.restore}. */
  async restore(records: readonly unknown[]): Promise<void> {
    if (records.length > 0) await (await this.#load()).restore(records);
  }

  /** A section for DumpStacks. */
  describe(): string[] {
    return this.#resources?.describe() ?? [];
  }

  /** Removes everything; logs what cannot be removed. */
  async destroy(): Promise<void> {
    await (await this.#loaded)?.destroy();
  }

  #load(): Promise<Resources> {
    this.#loaded ??= this.#make();
    return this.#loaded;
  }

  async #make(): Promise<Resources> {
    const { Resources } = await import('./resources.ts');
    const { storageWorld } = await import('./storage-world.ts');
    const { containerAt, journal, logger } = this.#dependencies;
    const world = storageWorld(this.#dependencies);
    this.#resources = new Resources({ world, logger, journal, containerAt });
    return this.#resources;
  }
}
