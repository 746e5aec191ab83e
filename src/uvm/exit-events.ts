import type { ContainerExit } from './operations.ts';

/** Exit events on their way to their one receiver; kept while there is none. */
export class ExitEvents {
  #receiver: ((exit: ContainerExit) => void) | undefined;
  #kept: ContainerExit[] = [];

  emit(exit: ContainerExit): void {
    if (this.#receiver === undefined) this.#kept.push(exit);
    else this.#receiver(exit);
  }

  receive(receiver: (exit: ContainerExit) => void): void {
    this.#receiver = receiver;
    const kept = this.#kept;
    this.#kept = [];
    for (const exit of kept) receiver(exit);
  }
}
