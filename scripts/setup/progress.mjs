/** What the user has to do something about: the message names the remedy. */
export class SetupError extends Error {}

/** Lines such as "setup: npm: done in 3.1 s", as they happen; on stderr, for stdout is the action's. */
export class Progress {
  #changed = 0;
  #started = performance.now();
  #facts = [];

  /** This step found everything in place. */
  fine(step, fact) {
    this.#facts.push(`${step}: ${fact}`);
  }

  /** Does a step's work between two lines; its own output goes to the terminal. */
  work(step, what, work) {
    this.#changed += 1;
    console.error(`setup: ${step}: ${what} …`);
    const started = performance.now();
    work();
    console.error(`setup: ${step}: done in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }

  finish() {
    const ms = Math.round(performance.now() - this.#started);
    if (this.#changed === 0)
      console.error(`setup: nothing to do (${this.#facts.join(', ')}; ${ms} ms)`);
    else console.error(`setup: complete (${(ms / 1000).toFixed(1)} s)`);
  }
}
