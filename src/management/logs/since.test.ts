import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SinceFilter } from './since.ts';

const since = Date.parse('2026-01-31T12:00:00Z');
const earlier = '2026-01-31T11:59:59.999999999Z stdout F earlier';
const later = '2026-01-31T12:00:00.000000000Z stdout F later';

function filtered(chunks: readonly string[]): string {
  const filter = new SinceFilter(since);
  return chunks.map((chunk) => filter.filter(Buffer.from(chunk)).toString()).join('');
}

test('everything from the first line of the time on, however it comes in pieces', () => {
  const line = fc.constantFrom(earlier, later, 'no time', '', 'x'.repeat(200));
  fc.assert(
    fc.property(fc.array(line), fc.integer({ min: 1, max: 100 }), (lines, size) => {
      const log = lines.map((text) => `${text}\n`).join('');
      const chunks = log.match(new RegExp(`[^]{1,${size}}`, 'g')) ?? [];
      const first = lines.indexOf(later);
      const expected = first < 0 ? [] : lines.slice(first);
      expect(filtered(chunks)).toBe(expected.map((text) => `${text}\n`).join(''));
    }),
  );
});

test('a line is judged by its time and not kept until its end', () => {
  expect(filtered([`${earlier}\n${later.slice(0, 20)}`, later.slice(20)])).toBe(later);
  expect(filtered([earlier.slice(0, 40), 'that goes on\n', later])).toBe(later);
  expect(filtered(['x'.repeat(100), ` ${later}\n`])).toBe('');
});
