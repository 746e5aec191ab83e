import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostPath, isAtOrBelow } from './host-path.ts';

describe('hostPath', () => {
  test('slashes too many are dropped', () => {
    expect(hostPath('//run///gcs/c/', 'F')).toBe('/run/gcs/c');
  });

  test.each([
    ['', 'missing'],
    ['run', 'absolute'],
    ['./run', 'absolute'],
    ['/', 'root directory'],
    ['/a/..', "'..'"],
    ['/../a', "'..'"],
    ['/a/./b', "'.'"],
    ['/a\0', 'NUL'],
    [`/${'ü'.repeat(128)}`, '255 bytes'],
    [`/${'a/'.repeat(2048)}`, 'too long'],
  ])('%j is refused by field', (path, why) => {
    expect(() => hostPath(path, 'Settings.X')).toThrow(why);
    expect(() => hostPath(path, 'Settings.X')).toThrow(/^Settings\.X: /);
  });

  test('names that only look odd are taken', () => {
    for (const path of ['/...', '/..a', '/a:b', '/a,b', '/a\nb', '/ ']) {
      expect(hostPath(path, 'F')).toBe(path);
    }
  });

  test('whatever is accepted is in normal form and stays it', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('/', 'a', '.', '..', 'ü', '\0')), (parts) => {
        let path: string;
        try {
          path = hostPath(parts.join(''), 'F');
        } catch {
          return;
        }
        expect(path).toMatch(/^(\/[^/\0]+)+$/);
        expect(path.split('/')).not.toContain('..');
        expect(hostPath(path, 'F')).toBe(path);
      }),
    );
  });
});

test('isAtOrBelow counts whole names', () => {
  expect(isAtOrBelow('/a/b', '/a')).toBe(true);
  expect(isAtOrBelow('/a', '/a')).toBe(true);
  expect(isAtOrBelow('/ab', '/a')).toBe(false);
  expect(isAtOrBelow('/a', '/a/b')).toBe(false);
});
