const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGPIPE: 141 } as const;

/** Turns the first Ctrl-C, or a reader of the output that went away, into a rejection, so that what is open is closed on the way out. */
export class Interruption implements Disposable {
  readonly happened: Promise<never>;
  #code: number | undefined;
  readonly #undo: (() => void)[] = [];

  constructor() {
    const { promise, reject } = Promise.withResolvers<never>();
    this.happened = promise;
    this.happened.catch(() => {});
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      const listener = () => {
        this.#code ??= CODES[signal];
        reject(new Error(`received ${signal}`));
      };
      process.on(signal, listener);
      this.#undo.push(() => process.off(signal, listener));
    }
    // Nobody reads on (`npm start | head`): what is open is closed all the same.
    const unread = (error: Error) => {
      this.#code ??= CODES.SIGPIPE;
      reject(error);
    };
    process.stdout.on('error', unread);
    this.#undo.push(() => process.stdout.off('error', unread));
  }

  /** The exit code that goes with the signal; undefined when none came. */
  get code(): number | undefined {
    return this.#code;
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo) undo();
  }
}
