import type { DescriptorStore } from '../../src/os/descriptor-store.ts';
import { Fd } from '../../src/os/fd.ts';

/** A store in this process: what it keeps stays open until it is dropped. */
export class MemoryStore implements DescriptorStore, Disposable {
  readonly available = true;
  #deaf = false;
  readonly #entries = new Map<string, Fd[]>();

  keep(name: string, fds: readonly Fd[]): void {
    if (this.#entries.has(name)) throw new Error(`${name} is there already`);
    this.#entries.set(
      name,
      fds.map((fd) => fd.dup()),
    );
  }

  drop(name: string): void {
    if (this.#deaf) return;
    const fds = this.#entries.get(name);
    if (fds === undefined) throw new Error(`${name} is not there`);
    for (const fd of fds) fd.close();
    this.#entries.delete(name);
  }

  /** Closes descriptors as the kernel closes those of a process that was killed: the store keeps its own. */
  closeAsKilled(fds: readonly (Fd | null | undefined)[]): void {
    this.#deaf = true;
    for (const fd of fds) if (fd?.open === true) new Fd(fd.take()).close();
    this.#deaf = false;
  }

  async fetch(name: string): Promise<Fd[]> {
    return (this.#entries.get(name) ?? []).map((fd) => fd.dup());
  }

  async names(): Promise<string[]> {
    return [...this.#entries.keys()];
  }

  async flush(): Promise<void> {}

  [Symbol.dispose](): void {
    for (const name of [...this.#entries.keys()]) this.drop(name);
  }
}
