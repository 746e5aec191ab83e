import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';

const LIMIT = 16 * 1024 ** 2;

/** A log that never grows past twice its limit: full, it becomes FILE.1 and begins anew. */
export class LogFile implements Disposable {
  readonly #path: string;
  #fd: number;
  #size: number;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, 'a', 0o600);
    this.#size = fstatSync(this.#fd).size;
  }

  append(bytes: Uint8Array): void {
    if (this.#size > 0 && this.#size + bytes.length > LIMIT) {
      closeSync(this.#fd);
      renameSync(this.#path, `${this.#path}.1`);
      this.#fd = openSync(this.#path, 'a', 0o600);
      this.#size = 0;
    }
    this.#size += writeSync(this.#fd, bytes);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
