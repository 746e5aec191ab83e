import type { BridgeError } from './errors.ts';
import type { ContainerExit } from './notifications.ts';

interface Entry {
  readonly exited: PromiseWithResolvers<ContainerExit>;
  ended: boolean;
  deleted: boolean;
}

/** The containers this host knows, and which of them have ended. */
export class ContainerRegistry {
  readonly #entries = new Map<string, Entry>();
  #failure: BridgeError | undefined;

  /** Knows `id` from now on; a container of the same name that has ended before is forgotten. Resolves with its exit. */
  register(id: string): Promise<ContainerExit> {
    const entry: Entry = {
      exited: Promise.withResolvers(),
      ended: false,
      deleted: false,
    };
    // Nobody has to wait for an exit: a lost bridge must not end the host as an unhandled rejection.
    entry.exited.promise.catch(() => {});
    if (this.#failure !== undefined) entry.exited.reject(this.#failure);
    this.#entries.set(id, entry);
    return entry.exited.promise;
  }

  /** The exit of a known container, or of one that is registered now. */
  exitOf(id: string): Promise<ContainerExit> {
    return this.#entries.get(id)?.exited.promise ?? this.register(id);
  }

  /** Records an exit. False when the container is not known or has ended before: a breach of the protocol. */
  ended(exit: ContainerExit): boolean {
    const entry = this.#entries.get(exit.containerId);
    if (entry === undefined || entry.ended) return false;
    entry.ended = true;
    entry.exited.resolve(exit);
    if (entry.deleted) this.#entries.delete(exit.containerId);
    return true;
  }

  /** The container is gone from the guest: nothing is kept of it once its exit was told. */
  deleted(id: string): void {
    const entry = this.#entries.get(id);
    if (entry?.ended === true) this.#entries.delete(id);
    else if (entry !== undefined) entry.deleted = true;
  }

  /** No exit will be heard of any more. */
  fail(error: BridgeError): void {
    this.#failure ??= error;
    for (const { exited } of this.#entries.values()) exited.reject(error);
  }
}
