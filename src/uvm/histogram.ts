/** Upper bounds in seconds: an exec takes some ten milliseconds, a hung runtime a minute. */
const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Times, counted in buckets: a few additions a time, whoever asks. */
export class Histogram {
  readonly #counts = new Array<number>(bounds.length + 1).fill(0);
  #sum = 0;

  observe(seconds: number): void {
    const index = bounds.findIndex((bound) => seconds <= bound);
    const bucket = index < 0 ? bounds.length : index;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += seconds;
  }

  /** As Prometheus has it: each bucket holds those below it too. */
  snapshot(): { buckets: { le: number; count: number }[]; sum: number; count: number } {
    let count = 0;
    const buckets = [...bounds, Number.POSITIVE_INFINITY].map((le, index) => {
      count += this.#counts[index] ?? 0;
      return { le, count };
    });
    return { buckets, sum: this.#sum, count };
  }
}
