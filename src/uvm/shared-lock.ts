interface Waiting {
  exclusive: boolean;
  grant: () => void;
}

/**
 * The queue of one container: first come, first served. `exclusive` operations (start, update,
 * delete) run alone; `shared` ones (exec) run beside each other. Signals never enter it.
 */
export class SharedLock {
  #shared = 0;
  #exclusive = false;
  readonly #queue: Waiting[] = [];

  exclusive<T>(operation: () => Promise<T>): Promise<T> {
    return this.#run(true, operation);
  }

  shared<T>(operation: () => Promise<T>): Promise<T> {
    return this.#run(false, operation);
  }

  async #run<T>(exclusive: boolean, operation: () => Promise<T>): Promise<T> {
    await this.#acquire(exclusive);
    try {
      return await operation();
    } finally {
      if (exclusive) this.#exclusive = false;
      else this.#shared--;
      this.#grantNext();
    }
  }

  #acquire(exclusive: boolean): Promise<void> {
    return new Promise((grant) => {
      this.#queue.push({ exclusive, grant });
      this.#grantNext();
    });
  }

  #grantNext(): void {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      if (this.#exclusive || (next.exclusive && this.#shared > 0)) return;
      this.#queue.shift();
      if (next.exclusive) this.#exclusive = true;
      else this.#shared++;
      next.grant();
    }
  }
}
