/** The lines a person reads: who, what, and how long it took. */
export class Story {
  host(text: string): void {
    this.#line('host', text);
  }

  /** `since` is a performance.now() of the request this answers. */
  agent(text: string, since?: number): void {
    const took = since === undefined ? '' : `  (${(performance.now() - since).toFixed(1)} ms)`;
    this.#line('agent', text + took);
  }

  output(stream: string, line: string): void {
    this.#line('', `${stream.padStart(6)} │ ${line}`);
  }

  failure(text: string): void {
    console.error(`demo: ${text}`);
  }

  #line(who: string, text: string): void {
    console.log(`  ${who.padEnd(7)}${text}`);
  }
}
