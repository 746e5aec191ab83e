import { Transform, type TransformCallback } from 'node:stream';
import { UsageError } from './exit-codes.ts';

/** ctrl-p ctrl-q, as with other engines. */
export const DEFAULT_DETACH_KEYS = 'ctrl-p,ctrl-q';

/**
 * "ctrl-p,ctrl-q", "ctrl-]", "a,b" to the bytes a terminal sends for them. Throws UsageError.
 * An empty text means no keys at all.
 */
export function parseDetachKeys(text: string): Buffer | undefined {
  if (text === '') return undefined;
  return Buffer.from(
    text.split(',').map((key) => {
      const control = /^ctrl-([a-z@[\\\]^_])$/i.exec(key)?.[1];
      // A control key sends the letter's place in the alphabet (ascii(7)).
      if (control !== undefined) return control.toUpperCase().charCodeAt(0) & 0x1f;
      if (/^[\x20-\x7e]$/.test(key)) return key.charCodeAt(0);
      throw new UsageError(`--detach-keys: "${key}" is neither one character nor ctrl-LETTER`);
    }),
  );
}

/** Passes what is typed on, but for the keys that detach. The beginning of them waits for the rest. */
export class DetachFilter extends Transform {
  readonly #keys: Buffer;
  readonly #detach: () => void;
  #matched = 0;

  constructor(keys: Buffer, detach: () => void) {
    super();
    this.#keys = keys;
    this.#detach = detach;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const passed: number[] = [];
    for (const byte of chunk) {
      if (this.#matched === this.#keys.length) break; // Typed after leaving: for nobody.
      this.#take(byte, passed);
    }
    if (this.#matched === this.#keys.length) this.#detach();
    done(null, passed.length === 0 ? undefined : Buffer.from(passed));
  }

  override _flush(done: TransformCallback): void {
    const held = this.#matched === this.#keys.length ? 0 : this.#matched;
    done(null, held === 0 ? undefined : this.#keys.subarray(0, held));
  }

  #take(byte: number, passed: number[]): void {
    while (this.#matched > 0 && byte !== this.#keys[this.#matched]) {
      // The longest end of what is held that is a beginning of the keys goes on being held.
      const kept = this.#longestBorder();
      passed.push(...this.#keys.subarray(0, this.#matched - kept));
      this.#matched = kept;
    }
    if (byte === this.#keys[this.#matched]) this.#matched += 1;
    else passed.push(byte);
  }

  #longestBorder(): number {
    const held = this.#keys.subarray(0, this.#matched);
    for (let length = held.length - 1; length > 0; length--) {
      if (held.subarray(held.length - length).equals(held.subarray(0, length))) return length;
    }
    return 0;
  }
}
