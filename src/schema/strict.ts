import { asRecord, at, mismatch, SchemaError } from './scalars.ts';
import { object } from './schema.ts';
import type { Fields, ObjectIn, ObjectOut, Schema } from './types.ts';

/**
 * Types for a contract whose two ends are ours: names count with their case, a field nobody knows
 * is an error (a client must not believe that what it asked for was done), values have bounds.
 */

/** An object of which fields nobody knows are left out: what a newer agent may have added. */
export const record = object;

/** An object with these fields and no other. */
export function strict<F extends Fields>(fields: F): Schema<ObjectOut<F>, ObjectIn<F>> {
  const inner = object(fields);
  return {
    ...inner,
    decode: (value) => {
      for (const name of Object.keys(asRecord(value))) {
        if (!Object.hasOwn(fields, name)) at(name, () => unknownField());
      }
      return inner.decode(value);
    },
  };
}

function unknownField(): never {
  throw new SchemaError('', 'unknown field');
}

/** One of these texts. */
export function oneOf<const T extends string>(...values: readonly [T, ...T[]]): Schema<T> {
  const known = new Set<string>(values);
  return {
    shape: { kind: 'scalar', name: values.map((value) => `"${value}"`).join(' \\| ') },
    presence: 'always',
    zero: () => values[0],
    decode: (value) => {
      if (typeof value !== 'string') throw mismatch('string', value);
      if (known.has(value)) return value as T;
      throw new SchemaError('', `${quoted(value)} is none of ${values.join(', ')}`);
    },
    encode: (value) => value,
  };
}

export interface TextRule {
  /** For people: what such a text is called. */
  name: string;
  /** Most bytes as UTF-8. */
  maxBytes: number;
  pattern?: RegExp;
}

/** A text with bounds. */
export function text({ name, maxBytes, pattern }: TextRule): Schema<string> {
  return {
    shape: { kind: 'scalar', name },
    presence: 'always',
    zero: () => '',
    decode: (value) => {
      if (typeof value !== 'string') throw mismatch('string', value);
      if (Buffer.byteLength(value) > maxBytes) {
        throw new SchemaError('', `longer than ${maxBytes} bytes`);
      }
      if (pattern !== undefined && !pattern.test(value)) {
        throw new SchemaError('', `${quoted(value)} is no ${name}`);
      }
      return value;
    },
    encode: (value) => value,
  };
}

/** A whole number from `min` to `max`. */
export function whole(name: string, min: number, max: number): Schema<number> {
  return {
    shape: { kind: 'scalar', name },
    presence: 'always',
    zero: () => min,
    decode: (value) => {
      if (typeof value !== 'number' && typeof value !== 'bigint') throw mismatch('number', value);
      if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
        return value;
      }
      throw new SchemaError('', `${value} is no whole number from ${min} to ${max}`);
    },
    encode: (value) => value,
  };
}

/** A finite number. */
export const number: Schema<number> = {
  shape: { kind: 'scalar', name: 'number' },
  presence: 'always',
  zero: () => 0,
  decode: (value) => {
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    if (typeof value === 'bigint') return Number(value);
    throw mismatch('number', value);
  },
  encode: (value) => value,
};

function quoted(value: string): string {
  return JSON.stringify(value.length <= 64 ? value : `${value.slice(0, 64)}…`);
}
