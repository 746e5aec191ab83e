import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJson, stringifyJson } from '../json.ts';
import {
  array,
  boolean,
  embedded,
  i32,
  keptObject,
  map,
  object,
  omitZero,
  optional,
  required,
  type Schema,
  SchemaError,
  string,
  u8,
  u16,
  u32,
  u64,
} from './schema.ts';

const person = object({
  Name: string,
  Age: omitZero(u32),
  Tags: omitZero(array(string)),
  Extra: optional(object({ Deep: array(u8) })),
});

function messageOf(schema: Schema<unknown, never>, value: unknown): string {
  try {
    schema.decode(value);
  } catch (error) {
    if (error instanceof SchemaError) return error.message;
    throw error;
  }
  throw new Error('accepted');
}

describe('field names', () => {
  test('case does not count', () => {
    expect(person.decode({ NAME: 'a', tAGS: ['x'] })).toEqual({ Name: 'a', Age: 0, Tags: ['x'] });
  });

  test('the exact name wins, wherever it stands', () => {
    expect(person.decode({ name: 'b', Name: 'a' }).Name).toBe('a');
    expect(person.decode({ Name: 'a', name: 'b' }).Name).toBe('a');
  });

  test('of a name that comes twice the last wins', () => {
    expect(person.decode(parseJson('{"Name":"a","Name":"b"}')).Name).toBe('b');
  });

  test('unknown fields are ignored, or kept where the protocol says so', () => {
    expect(person.decode({ Name: 'a', Other: 1 })).not.toHaveProperty('Other');
    const kept = keptObject({ cwd: optional(string) });
    const value = kept.decode(parseJson('{"CWD":"/","big":18446744073709551615,"n":null}'));
    expect(value).toEqual({ cwd: '/', big: 18446744073709551615n, n: null });
    expect(stringifyJson(kept.encode(value))).toBe(
      '{"big":18446744073709551615,"n":null,"cwd":"/"}',
    );
  });

  test('"__proto__" is data', () => {
    const text = '{"__proto__":{"polluted":"yes"}}';
    const kept = keptObject({ cwd: optional(string) }).decode(parseJson(text));
    expect(Object.getPrototypeOf(kept)).toBe(Object.prototype);
    expect(stringifyJson(kept)).toBe(text);
    expect(Object.hasOwn(map(map(string)).decode(parseJson(text)), '__proto__')).toBe(true);
  });
});

describe('missing values', () => {
  test.each([
    {},
    { Name: null, Age: null, Tags: null, Extra: null },
  ])('missing and null are the zero value: %j', (value) => {
    expect(person.decode(value)).toEqual({ Name: '', Age: 0, Tags: [] });
  });

  test('null inside a list is its zero value', () => {
    expect(array(string).decode(['a', null])).toEqual(['a', '']);
  });

  test('a required field is named', () => {
    const schema = object({ Config: object({ Spec: required(person) }) });
    expect(messageOf(schema, { Config: { Spec: null } })).toBe('Config.Spec: missing');
    expect(messageOf(schema, {})).toBe('Config.Spec: missing');
  });
});

describe('wrong types', () => {
  test.each([
    [string, 1, 'expected string, found number'],
    [string, [], 'expected string, found array'],
    [boolean, 'true', 'expected boolean, found string'],
    [u32, -1, 'expected u32, found -1'],
    [u32, 2 ** 32, 'expected u32, found 4294967296'],
    [u32, 1.5, 'expected u32, found 1.5'],
    [u32, 2n ** 64n, 'expected u32, found 18446744073709551616'],
    [u16, 65536, 'expected u16, found 65536'],
    [u8, '1', 'expected u8, found string'],
    [i32, 2 ** 31, 'expected i32, found 2147483648'],
    [u64, 2n ** 64n, 'expected u64, found 18446744073709551616'],
    [u64, -1, 'expected u64, found -1'],
    [u64, 0.5, 'expected u64, found 0.5'],
    [person, [], 'expected object, found array'],
    [person, parseJson('1e400'), 'expected object, found number'],
    [array(u8), {}, 'expected array, found object'],
    [map(string), 'x', 'expected object, found string'],
  ] as const)('%o does not take %o', (schema, value, message) => {
    expect(messageOf(schema, value)).toBe(message);
  });

  test('the path leads to the value, through JSON in a string too', () => {
    const schema = object({ Settings: object({ Parameters: embedded(person) }) });
    const parameters = JSON.stringify({ Name: 'x', Extra: { Deep: [1, 2, '3'] } });
    expect(messageOf(schema, { Settings: { Parameters: parameters } })).toBe(
      'Settings.Parameters.Extra.Deep[2]: expected u8, found string',
    );
  });

  test('the ends of each integer type are accepted', () => {
    expect(u64.decode(2n ** 64n - 1n)).toBe(2n ** 64n - 1n);
    expect(u32.decode(0xffffffff)).toBe(0xffffffff);
    expect(i32.decode(-(2 ** 31))).toBe(-(2 ** 31));
  });
});

describe('JSON in a string', () => {
  test('an empty or missing one is an error, as for Go, or the zero value', () => {
    const strict = object({ Config: embedded(person) });
    expect(messageOf(strict, {})).toBe('Config: unexpected end of JSON input');
    expect(messageOf(strict, { Config: ' ' })).toBe('Config: unexpected end of JSON input');
    const lenient = object({ Query: embedded(object({ Types: array(string) }), 'zero') });
    expect(lenient.decode({})).toEqual({ Query: { Types: [] } });
    expect(lenient.decode({ Query: '' })).toEqual({ Query: { Types: [] } });
  });

  test('what is no JSON is an error of the field', () => {
    expect(messageOf(object({ Config: embedded(person) }), { Config: '{"Name":' })).toMatch(
      /^Config: /,
    );
  });

  test('`<`, `>` and `&` are escaped in it', () => {
    expect(embedded(person).encode({ Name: '<&>' })).toBe('{"Name":"\\u003c\\u0026\\u003e"}');
  });
});

describe('encoding', () => {
  test('fields stand in the order of the catalogue, empty ones are left out', () => {
    const value = { Tags: [], Age: 0, Name: '', Extra: { Deep: [] } };
    expect(stringifyJson(person.encode(value))).toBe('{"Name":"","Extra":{"Deep":[]}}');
  });

  test('what was encoded decodes to the same', () => {
    // fast-check's own texts of every code point take seconds to prepare.
    const codePoint = fc.nat(0x10ffff).filter((code) => code < 0xd800 || code > 0xdfff);
    const anyText = fc.array(codePoint).map((codes) => String.fromCodePoint(...codes));
    const arbitrary = fc.record({
      Name: anyText,
      Age: fc.nat(0xffffffff),
      Tags: fc.array(fc.string()),
      Extra: fc.record({ Deep: fc.array(fc.nat(255)) }),
    });
    const schema = embedded(person);
    fc.assert(
      fc.property(arbitrary, (value) => {
        expect(schema.decode(schema.encode(value))).toEqual(value);
      }),
    );
  });

  test('nothing that is JSON makes decoding fail in another way than SchemaError', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        try {
          if (value !== null) person.decode(value);
        } catch (error) {
          expect(error).toBeInstanceOf(SchemaError);
        }
      }),
    );
  });
});
