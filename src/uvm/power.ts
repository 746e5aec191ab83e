/** What a shutdown of the VM means where the agent runs. */
export interface Power {
  /** Does not return to the host: the machine goes down, or the agent ends. */
  shutdown(how: 'graceful' | 'forced'): Promise<void>;
}

/** Anywhere but under our init in a VM: the agent ends and the machine is left alone. */
export class EndAgent implements Power {
  readonly #end: () => void;

  constructor(end: () => void) {
    this.#end = end;
  }

  async shutdown(): Promise<void> {
    this.#end();
  }
}
