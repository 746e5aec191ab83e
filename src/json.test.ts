import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson, stringifyJson } from './json.ts';

describe('parseJson', () => {
  test.each([
    ['18446744073709551615', 18446744073709551615n],
    ['-9223372036854775808', -9223372036854775808n],
    ['9007199254740991', 9007199254740991],
    ['-9007199254740991', -9007199254740991],
    ['9007199254740992', 9007199254740992n],
    ['9007199254740993', 9007199254740993n],
    ['0', 0],
    ['1.5', 1.5],
    ['1e3', 1000],
    ['1e20', 1e20],
    ['0.1234567890123456789', 0.12345678901234568],
  ])('%s is exact', (text, expected) => {
    expect(parseJson(text)).toBe(expected);
    expect(parseJson(`{"a":[${text}]}`)).toEqual({ a: [expected] });
  });

  test.each([
    '1e400',
    '-1E+999',
    '9'.repeat(400),
    `-1${'0'.repeat(5000)}`,
  ])('keeps as written what no number can hold', (text) => {
    const value = parseJson(`{"a":${text},"b":1}`);
    expect(stringifyJson(value)).toBe(`{"a":${text},"b":1}`);
    expect(typeof (value as { a: unknown }).a).toBe('object');
  });

  test('leaves digits in strings alone', () => {
    const text = '{"id":"12345678901234567890","n":12345678901234567890}';
    expect(parseJson(text)).toEqual({ id: '12345678901234567890', n: 12345678901234567890n });
    expect(stringifyJson(parseJson(text))).toBe(text);
  });

  test('keeps __proto__ as a name like any other', () => {
    for (const text of ['{"__proto__":{"x":1}}', '{"__proto__":{"x":18446744073709551615}}']) {
      const value = parseJson(text) as object;
      expect(Object.keys(value)).toEqual(['__proto__']);
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
      expect((value as { x?: unknown }).x).toBeUndefined();
      expect(stringifyJson(value)).toBe(text);
    }
  });

  test('takes the last of two equal names', () => {
    expect(parseJson('{"a":1,"a":18446744073709551615}')).toEqual({ a: 18446744073709551615n });
    expect(parseJson('{"a":18446744073709551615,"a":2}')).toEqual({ a: 2 });
    expect(parseJson('{"a":[18446744073709551615],"a":[2,18446744073709551614]}')).toEqual({
      a: [2, 18446744073709551614n],
    });
  });

  test.each([
    '',
    '{',
    '01',
    '1_000',
    '{"a":1,}',
    'NaN',
    "{'a':1}",
    '18446744073709551615n',
  ])('refuses %j', (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });

  test('refuses a depth bomb, and takes what is just below it', () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const nested = (depth: number, inner: string): string =>
        open.repeat(depth) + inner + close.repeat(depth);
      for (const inner of ['1', '18446744073709551615']) {
        expect(() => parseJson(nested(1_000_000, inner))).toThrow(SyntaxError);
        expect(() => parseJson(nested(1001, inner))).toThrow('deeper than 1000');
        const deepest = nested(1000, inner);
        expect(stringifyJson(parseJson(deepest))).toBe(deepest);
      }
    }
    expect(() => parseJson('['.repeat(1_000_000))).toThrow(SyntaxError);
  });

  test('does not count brackets inside strings', () => {
    const text = JSON.stringify({ a: '[{'.repeat(5000), b: `"\\${'['.repeat(3000)}` });
    expect(stringifyJson(parseJson(text))).toBe(text);
  });
});

describe('stringifyJson', () => {
  test('writes bigints as plain integers, at any depth', () => {
    expect(stringifyJson([18446744073709551615n, { a: -1n }])).toBe(
      '[18446744073709551615,{"a":-1}]',
    );
    expect(stringifyJson(5n)).toBe('5');
  });

  test('refuses what is no JSON', () => {
    expect(() => stringifyJson(undefined)).toThrow(TypeError);
    expect(() => stringifyJson(() => {})).toThrow(TypeError);
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(() => stringifyJson(cycle)).toThrow(TypeError);
  });
});

describe('round trip', () => {
  const integer = fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n });

  test('every integer survives digit for digit', () => {
    fc.assert(
      fc.property(integer, (number) => {
        const value = parseJson(number.toString());
        expect(BigInt(value as number | bigint)).toBe(number);
        expect(typeof value).toBe(
          number >= -9007199254740991n && number <= 9007199254740991n ? 'number' : 'bigint',
        );
        expect(stringifyJson({ a: [value] })).toBe(`{"a":[${number}]}`);
      }),
      { numRuns: 1000 },
    );
  });

  const tree = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.constant(null),
      fc.boolean(),
      fc.string({ unit: 'binary' }),
      fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Object.is(n, -0)),
      integer.map((n) =>
        n >= -9007199254740991n && n <= 9007199254740991n ? (n === 0n ? 0 : Number(n)) : n,
      ),
      fc.array(tie('value'), { maxLength: 5 }),
      fc.dictionary(fc.string(), tie('value'), { maxKeys: 5, noNullPrototype: true }),
    ),
  })).value;

  test('every value survives, except that a large whole double becomes the same integer', () => {
    fc.assert(
      fc.property(tree, (value) => {
        const text = stringifyJson(value);
        expect(stringifyJson(parseJson(text))).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  test('agrees with JSON.parse wherever no number is large', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        // A whole double from 2^53 on is written without a fraction, so it reads as an integer.
        fc.pre(!/\d{16}/.test(text));
        expect(parseJson(text)).toEqual(JSON.parse(text));
      }),
      { numRuns: 1000 },
    );
  });
});
