import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Budget, ByteQueue } from './byte-queue.ts';

it('gives back the bytes in their order and all of its budget', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40_000, size: 'max' }), { maxLength: 8 }),
      fc.integer({ min: 1, max: 20_000 }),
      (pieces, step) => {
        const budget = new Budget(1_000_000);
        const queue = new ByteQueue(budget);
        for (const piece of pieces) expect(queue.push(piece)).toBe(true);
        const out: Buffer[] = [];
        for (let next = queue.peek(); next !== undefined; next = queue.peek()) {
          const part = next.subarray(0, step);
          out.push(Buffer.from(part));
          queue.drop(part.length);
        }
        expect(Buffer.concat(out).equals(Buffer.concat(pieces))).toBe(true);
        expect(budget.used).toBe(0);
      },
    ),
    { numRuns: 50 },
  );
});

it('charges its budget for memory: bytes that come singly do not cost a block each', () => {
  const budget = new Budget(100_000);
  const queue = new ByteQueue(budget);
  for (let count = 0; count < 20_000; count++) queue.push(Uint8Array.of(count));
  expect(budget.used).toBeLessThan(40_000);
});

it('refuses what is beyond the budget of all queues together', () => {
  const budget = new Budget(40_000);
  const [one, other] = [new ByteQueue(budget), new ByteQueue(budget)];
  expect(one.push(new Uint8Array(30_000))).toBe(true);
  expect(other.push(new Uint8Array(30_000))).toBe(false);
  other.clear();
  one.clear();
  expect(budget.used).toBe(0);
});
