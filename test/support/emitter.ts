/** Processes that print known random bytes and end at once, and a host that checks each byte. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

const MIB = 1_048_576;

/** A part of the pool. */
export interface Part {
  offset: number;
  length: number;
}

export interface Emission {
  out: Part;
  err: Part;
  seed: number;
  /** Exit code, or 128 + signal. */
  code: number;
}

/** The program, compiled, and the random bytes it prints from. */
export class Emitter implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'gcs-emit-'));
  readonly #pool = randomBytes(16 * MIB);

  constructor() {
    const source = join(import.meta.dirname, 'emit.c');
    execFileSync('gcc', ['-O2', '-static', '-Wall', '-Wextra', '-o', this.#program, source]);
    writeFileSync(this.#poolPath, this.#pool);
  }

  get #program(): string {
    return join(this.#directory, 'emit');
  }

  get #poolPath(): string {
    return join(this.#directory, 'pool');
  }

  args(emission: Emission): string[] {
    const { out, err, seed, code } = emission;
    const numbers = [out.offset, out.length, err.offset, err.length, seed, code];
    return [this.#program, this.#poolPath, ...numbers.map(String)];
  }

  /** A part of the pool of that length, at a place that depends on `random`. */
  part(length: number, random: number): Part {
    return { offset: Math.floor(random * (this.#pool.length - length + 1)), length };
  }

  /** Reads to the end and throws at the first byte that is missing, wrong or too much. */
  async check(stream: Readable, part: Part, afterChunk?: () => Promise<void>): Promise<void> {
    let at = 0;
    for await (const chunk of stream) {
      const bytes = chunk as Buffer;
      const expected = this.#pool.subarray(part.offset + at, part.offset + at + bytes.length);
      if (at + bytes.length > part.length || !bytes.equals(expected))
        throw new Error(`wrong bytes after ${at} of ${part.length}`);
      at += bytes.length;
      await afterChunk?.();
    }
    if (at !== part.length) throw new Error(`only ${at} of ${part.length} bytes`);
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** A small generator of numbers from 0 to 1 that gives the same again for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const edges = [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537];

/** A length from 0 to 8 MiB: mostly little, often at an edge of the kernel's buffers, now and then much. */
export function someLength(random: () => number): number {
  const kind = random();
  if (kind < 0.55) return Math.floor(random() * 4096);
  if (kind < 0.8) return edges[Math.floor(random() * edges.length)] ?? 0;
  if (kind < 0.95) return Math.floor(random() * 262_144);
  if (kind < 0.998) return Math.floor(random() * MIB);
  return Math.floor(random() * 8 * MIB) + 1;
}
