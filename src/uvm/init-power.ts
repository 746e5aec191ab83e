import type { Power } from './power.ts';

/** What is asked of init: InitChannel, or a test's. */
export interface InitRequests {
  request(text: string): Promise<string>;
}

/** In a VM under our init: init ends everything, syncs, unmounts and takes the machine down. */
export class InitPower implements Power {
  readonly #init: InitRequests;

  constructor(init: InitRequests) {
    this.#init = init;
  }

  /**
   * Resolves when init has taken the request; the agent is then among the processes that init ends.
   * Both kinds are the same to init, which bounds how long it is graceful. Rejects when init refuses.
   */
  async shutdown(): Promise<void> {
    const reply = await this.#init.request('poweroff');
    if (reply !== 'ok') throw new Error(`init does not poweroff: ${reply}`);
  }
}
