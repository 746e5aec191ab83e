import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

/**
 * An endless stream of bytes that looks random and is cheap to make and to check: one random block
 * over and over. Its length is a prime, so that no buffer size divides it and a block that is lost,
 * doubled or moved shows.
 */
export class Pattern {
  readonly #block = randomBytes(1_048_573);

  /** Bytes from `offset`, at most up to the end of the block. */
  slice(offset: number, atMost: number): Buffer {
    const start = offset % this.#block.length;
    return this.#block.subarray(start, Math.min(start + atMost, this.#block.length));
  }

  /** Throws at the first byte of `chunk` that is not what belongs at `offset`. */
  check(chunk: Buffer, offset: number): void {
    let done = 0;
    while (done < chunk.length) {
      const expected = this.slice(offset + done, chunk.length - done);
      const actual = chunk.subarray(done, done + expected.length);
      if (!actual.equals(expected))
        throw new Error(`wrong byte${where(actual, expected, offset + done)}`);
      done += expected.length;
    }
  }
}

function where(actual: Buffer, expected: Buffer, offset: number): string {
  const at = actual.findIndex((byte, index) => byte !== expected[index]);
  return ` at offset ${offset + at}: ${actual[at]} instead of ${expected[at]}`;
}

/** Writes `total` bytes of the pattern and ends the stream; `onProgress` sees the count so far. */
export async function sendPattern(
  to: Writable,
  pattern: Pattern,
  total: number,
  onProgress: (sent: number) => void = () => {},
): Promise<void> {
  let sent = 0;
  while (sent < total) {
    const chunk = pattern.slice(sent, Math.min(262_144, total - sent));
    sent += chunk.length;
    onProgress(sent);
    if (!to.write(chunk)) await once(to, 'drain');
  }
  to.end();
}

/** Reads to the end and checks each byte; resolves with the count. */
export async function receivePattern(
  from: Readable,
  pattern: Pattern,
  onProgress: (received: number) => void = () => {},
): Promise<number> {
  let received = 0;
  // The other direction of a Duplex stays usable after the end of this one.
  for await (const chunk of from.iterator({ destroyOnReturn: false })) {
    pattern.check(chunk as Buffer, received);
    received += (chunk as Buffer).length;
    onProgress(received);
  }
  return received;
}
