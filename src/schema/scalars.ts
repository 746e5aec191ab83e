import type { Integer } from '../spec/oci.ts';
import type { Schema } from './types.ts';

/** A value is not what the catalogue says. The host sees it as HRESULT 0xC037010D. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
  /** Where: "Settings.ProcessParameters.OciProcess.args[2]", "" for the message itself. */
  readonly path: string;
  readonly problem: string;

  constructor(path: string, problem: string) {
    super(path === '' ? problem : `${path}: ${problem}`);
    this.path = path;
    this.problem = problem;
  }

  /** The same problem seen from the container of the value; `step` is "name" or "[3]". */
  under(step: string): SchemaError {
    const glue = this.path === '' || this.path.startsWith('[') ? '' : '.';
    return new SchemaError(`${step}${glue}${this.path}`, this.problem);
  }
}

/** Runs `action`, adding `step` to the path of a SchemaError. */
export function at<T>(step: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof SchemaError ? error.under(step) : error;
  }
}

/** A number beyond every JavaScript number is parsed to an object that writes it again (src/json.ts). */
const { isRawJSON } = JSON as unknown as { isRawJSON: (value: unknown) => boolean };

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'bigint' || isRawJSON(value) ? 'number' : typeof value;
}

export function mismatch(expected: string, value: unknown): SchemaError {
  return new SchemaError('', `expected ${expected}, found ${kindOf(value)}`);
}

function scalar<T>(name: string, zero: T, accepts: (value: unknown) => value is T): Schema<T> {
  return {
    shape: { kind: 'scalar', name },
    presence: 'always',
    zero: () => zero,
    decode: (value) => {
      if (accepts(value)) return value;
      throw mismatch(name, value);
    },
    encode: (value) => value,
  };
}

export const string = scalar('string', '', (v): v is string => typeof v === 'string');
export const boolean = scalar('boolean', false, (v): v is boolean => typeof v === 'boolean');

function integer(name: string, min: number, max: number): Schema<number> {
  return {
    shape: { kind: 'scalar', name },
    presence: 'always',
    zero: () => 0,
    decode: (value) => {
      if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
        return value;
      }
      if (typeof value === 'number' || typeof value === 'bigint') {
        throw new SchemaError('', `expected ${name}, found ${value}`);
      }
      throw mismatch(name, value);
    },
    encode: (value) => value,
  };
}

export const u8 = integer('u8', 0, 0xff);
export const u16 = integer('u16', 0, 0xffff);
export const u32 = integer('u32', 0, 0xffffffff);
export const i32 = integer('i32', -0x80000000, 0x7fffffff);

const U64_MAX = 2n ** 64n - 1n;

/** A number where that is exact, else a bigint. */
export const u64: Schema<Integer> = {
  shape: { kind: 'scalar', name: 'u64' },
  presence: 'always',
  zero: () => 0,
  decode: (value) => {
    if (typeof value === 'bigint' && value >= 0n && value <= U64_MAX) return value;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    if (typeof value === 'number' || typeof value === 'bigint') {
      throw new SchemaError('', `expected u64, found ${value}`);
    }
    throw mismatch('u64', value);
  },
  encode: (value) => value,
};

/** Any JSON value, kept as it was parsed. */
export const raw: Schema<unknown> = {
  shape: { kind: 'scalar', name: 'any' },
  presence: 'always',
  zero: () => undefined,
  decode: (value) => value,
  encode: (value) => value,
};

export function asRecord(value: unknown): Record<string, unknown> {
  if (kindOf(value) === 'object') return value as Record<string, unknown>;
  throw mismatch('object', value);
}

/** Any JSON object, kept as it was parsed. */
export const rawObject: Schema<Record<string, unknown>> = {
  shape: { kind: 'object', fields: [], keeps: true },
  presence: 'always',
  zero: () => ({}),
  decode: asRecord,
  encode: (value) => value,
};
