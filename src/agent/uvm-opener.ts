import type { Uvm } from '../uvm/uvm.ts';
import type { OpenedUvm, UvmSurroundings } from './uvm-surroundings.ts';

/**
 * The one VM of the agent, loaded and opened when it is first asked for: an agent greets its host
 * without it. Disposing ends its containers and processes: nobody could find or end them after us.
 */
export class UvmOpener implements AsyncDisposable {
  readonly #surroundings: UvmSurroundings;
  #opening: Promise<OpenedUvm> | undefined;

  constructor(surroundings: UvmSurroundings) {
    this.#surroundings = surroundings;
  }

  /** Rejects when it cannot be opened, and tries anew when it is called again. */
  async open(): Promise<Uvm> {
    this.#opening ??= this.#open();
    return (await this.#opening).uvm;
  }

  async #open(): Promise<OpenedUvm> {
    try {
      const { openUvm } = await import('./open-uvm.ts');
      return await openUvm(this.#surroundings);
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // One that could not be opened has been told of, and holds nothing.
    const opened = await this.#opening?.catch(() => undefined);
    await opened?.[Symbol.asyncDispose]();
  }
}
