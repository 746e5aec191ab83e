import { createHash } from 'node:crypto';
import { expect } from 'vitest';

/**
 * Reads what `seq COUNT` writes, and on the way calls `interrupt` so many times, at even distances:
 * no byte of it may be lost or come twice. What is not read meanwhile backs up to the process.
 */
export async function readSequence(
  stream: AsyncIterable<Buffer>,
  count: number,
  interruptions: number,
  interrupt: () => Promise<void>,
): Promise<void> {
  const expected = createHash('sha256');
  let total = 0;
  for (let number = 1; number <= count; number++) {
    expected.update(`${number}\n`);
    total += `${number}\n`.length;
  }
  const received = createHash('sha256');
  let [bytes, done] = [0, 0];
  for await (const chunk of stream) {
    received.update(chunk);
    bytes += chunk.length;
    if (bytes < ((done + 1) * total) / (interruptions + 1) || done === interruptions) continue;
    done += 1;
    await interrupt();
  }
  expect([done, bytes]).toEqual([interruptions, total]);
  expect(received.digest('hex')).toBe(expected.digest('hex'));
}
