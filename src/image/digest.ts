import { createHash, type Hash } from 'node:crypto';
import { ImageError } from './errors.ts';

const LENGTHS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/** A content address as of the OCI image specification, descriptor.md, "Digests". */
export interface Digest {
  readonly algorithm: 'sha256' | 'sha512';
  /** Lower-case. */
  readonly hex: string;
}

/** Throws ImageError for what is no digest, or one of an algorithm not registered; `what` names it. */
export function parseDigest(value: unknown, what: string): Digest {
  const [, algorithm = '', hex = ''] =
    typeof value === 'string' ? (/^([a-z0-9]+):([0-9a-f]+)$/.exec(value) ?? []) : [];
  if (LENGTHS[algorithm] === hex.length) {
    return { algorithm: algorithm as Digest['algorithm'], hex };
  }
  const shown = JSON.stringify(value)?.slice(0, 120);
  throw new ImageError('corrupt', `${what}: ${shown} is no sha256 or sha512 digest`);
}

export function digestText({ algorithm, hex }: Digest): string {
  return `${algorithm}:${hex}`;
}

/** The first digits, as people know them. */
export function shortDigest({ hex }: Digest): string {
  return hex.slice(0, 12);
}

/** Counts and hashes what passes through it. */
export class DigestCheck {
  readonly #expected: Digest;
  readonly #what: string;
  readonly #hash: Hash;
  bytes = 0;

  /** `what`: of whose contents, for the error. */
  constructor(expected: Digest, what: string) {
    this.#expected = expected;
    this.#what = what;
    this.#hash = createHash(expected.algorithm);
  }

  update(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
  }

  /** Throws ImageError 'corrupt' when the contents were others. */
  finish(): void {
    const hex = this.#hash.digest('hex');
    if (hex === this.#expected.hex) return;
    const found = digestText({ algorithm: this.#expected.algorithm, hex });
    const expected = digestText(this.#expected);
    throw new ImageError('corrupt', `${this.#what} is ${found}, not ${expected}: it was changed`);
  }
}
