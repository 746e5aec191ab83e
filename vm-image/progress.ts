/** Steps with their times, as they happen, on stderr. */
export class Progress {
  readonly #started = performance.now();

  async step<T>(what: string, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    process.stderr.write(`vm-image: ${what} …\n`);
    const result = await work();
    process.stderr.write(`vm-image: ${what}: ${seconds(started)}\n`);
    return result;
  }

  note(text: string): void {
    process.stderr.write(`vm-image: ${text}\n`);
  }

  finish(text: string): void {
    process.stderr.write(`vm-image: ${text} (${seconds(this.#started)})\n`);
  }
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
