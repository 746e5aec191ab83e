import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseContainerId } from './container-id.ts';
import { RuntimeError } from './runtime.ts';

function codeOf(text: string): string | undefined {
  try {
    parseContainerId(text);
    return undefined;
  } catch (error) {
    if (error instanceof RuntimeError) return error.code;
    throw error;
  }
}

describe('parseContainerId', () => {
  it.each([
    'a',
    '0',
    'A_b+c-d.e',
    '...',
    '.hidden',
    '-',
    'f'.repeat(64),
    'x'.repeat(255),
  ])('accepts %j', (id) => {
    expect(parseContainerId(id)).toBe(id);
  });

  it.each([
    '',
    '.',
    '..',
    '../x',
    'a/b',
    'a\0b',
    'a\n',
    'a b',
    'ä',
    'a\u2024b',
    '~',
    'x'.repeat(256),
    'x'.repeat(1024),
    'x'.repeat(1025),
    'x'.repeat(1_000_000),
  ])('refuses %j', (id) => {
    expect(codeOf(id)).toBe('invalid-id');
  });

  it('says what is wrong and never quotes more than a line of a long id', () => {
    expect(() => parseContainerId('x'.repeat(1_000_000))).toThrow(/1000000 characters/);
    try {
      parseContainerId('/'.repeat(1_000_000));
    } catch (error) {
      expect((error as Error).message.length).toBeLessThan(300);
    }
  });

  it('lets nothing through that is more than one component of a path', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        if (codeOf(text) !== undefined) return;
        expect(text).not.toMatch(/[/\0]/);
        expect(['', '.', '..']).not.toContain(text);
        expect(Buffer.byteLength(text)).toBeLessThanOrEqual(255);
      }),
    );
  });
});
