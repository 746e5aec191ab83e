import type { Integer } from '../spec/oci.ts';
import { decodeJson, encodeJson } from './json-text.ts';

/**
 * What a field does when its value is missing.
 * - `always`: decodes to the zero value, is always written.
 * - `omit-zero`: decodes to the zero value, is left out when it is one (Go's `omitempty`).
 * - `optional`: stays absent, both ways.
 * - `required`: missing or null is an error.
 */
export type Presence = 'always' | 'omit-zero' | 'optional' | 'required';

/** Structure of a schema for documentation. */
export type Shape =
  | { readonly kind: 'scalar'; readonly name: string }
  | { readonly kind: 'array'; readonly item: Shape }
  | { readonly kind: 'map'; readonly value: Shape }
  | { readonly kind: 'object'; readonly fields: readonly FieldShape[]; readonly keeps: boolean }
  | { readonly kind: 'embedded'; readonly content: Shape };

export interface FieldShape {
  readonly name: string;
  readonly presence: Presence;
  readonly shape: Shape;
  readonly doc: string | undefined;
}

/**
 * A JSON type of the protocol with Go's decoding rules. `Out` is what decoding gives, `In` what
 * encoding takes (fields that may be left out are optional there).
 */
export interface Schema<Out, In = Out, P extends Presence = 'always'> {
  readonly shape: Shape;
  readonly presence: P;
  readonly doc?: string;
  /** Value of a missing or null field. */
  readonly zero: () => Out;
  /** `value` is neither null nor undefined. Throws SchemaError. */
  readonly decode: (value: unknown) => Out;
  /** To a JSON value; nothing is checked, the types have done that. */
  readonly encode: (value: In) => unknown;
}

type AnySchema = Schema<unknown, never, Presence>;
type Fields = Readonly<Record<string, AnySchema>>;
type Simplify<T> = { [K in keyof T]: T[K] };

/** What decoding with this schema gives. */
export type OutOf<S> = S extends Schema<infer Out, never, Presence> ? Out : never;
/** What encoding with this schema takes. */
export type InOf<S> = S extends Schema<unknown, infer In, Presence> ? In : never;
type PresenceOf<S> = S extends Schema<unknown, never, infer P> ? P : never;

type ObjectOut<F extends Fields> = Simplify<
  { [K in keyof F as PresenceOf<F[K]> extends 'optional' ? never : K]: OutOf<F[K]> } & {
    [K in keyof F as PresenceOf<F[K]> extends 'optional' ? K : never]?: OutOf<F[K]>;
  }
>;
type ObjectIn<F extends Fields> = Simplify<
  { [K in keyof F as PresenceOf<F[K]> extends 'always' | 'required' ? K : never]: InOf<F[K]> } & {
    [K in keyof F as PresenceOf<F[K]> extends 'always' | 'required' ? never : K]?:
      | InOf<F[K]>
      | undefined;
  }
>;
type Kept = { [field: string]: unknown };

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
function at<T>(step: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw error instanceof SchemaError ? error.under(step) : error;
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'bigint' ? 'number' : typeof value;
}

function mismatch(expected: string, value: unknown): SchemaError {
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

function wide(name: string, min: bigint, max: bigint): Schema<Integer> {
  return {
    shape: { kind: 'scalar', name },
    presence: 'always',
    zero: () => 0,
    decode: (value) => {
      if (typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))) {
        const exact = BigInt(value);
        if (exact >= min && exact <= max) return value;
      }
      if (typeof value === 'number' || typeof value === 'bigint') {
        throw new SchemaError('', `expected ${name}, found ${value}`);
      }
      throw mismatch(name, value);
    },
    encode: (value) => value,
  };
}

/** 64-bit integers: a number where that is exact, else a bigint. */
export const u64 = wide('u64', 0n, 2n ** 64n - 1n);
export const i64 = wide('i64', -(2n ** 63n), 2n ** 63n - 1n);

/** Any JSON value, kept as it was parsed. */
export const raw: Schema<unknown> = {
  shape: { kind: 'scalar', name: 'any' },
  presence: 'always',
  zero: () => undefined,
  decode: (value) => value,
  encode: (value) => value,
};

function asRecord(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
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

export function array<Out, In>(item: Schema<Out, In, Presence>): Schema<Out[], readonly In[]> {
  return {
    shape: { kind: 'array', item: item.shape },
    presence: 'always',
    zero: () => [],
    decode: (value) => {
      if (!Array.isArray(value)) throw mismatch('array', value);
      return value.map((element: unknown, index) =>
        element === null ? item.zero() : at(`[${index}]`, () => item.decode(element)),
      );
    },
    encode: (value) => value.map((element) => item.encode(element)),
  };
}

/** An object whose keys are data, e.g. environment variables. */
export function map<Out, In>(
  item: Schema<Out, In, Presence>,
): Schema<Record<string, Out>, Readonly<Record<string, In>>> {
  return {
    shape: { kind: 'map', value: item.shape },
    presence: 'always',
    zero: () => ({}),
    // fromEntries defines properties: a key "__proto__" stays data.
    decode: (value) =>
      Object.fromEntries(
        Object.entries(asRecord(value)).map(([key, element]) => [
          key,
          element === null ? item.zero() : at(key, () => item.decode(element)),
        ]),
      ),
    encode: (value) =>
      Object.fromEntries(
        Object.entries(value).map(([key, element]) => [key, item.encode(element)]),
      ),
  };
}

/**
 * JSON inside a string. `empty` says what an empty or missing string is: an error (as it is for
 * Go's decoder) or the zero value.
 */
export function embedded<Out, In>(
  content: Schema<Out, In, Presence>,
  empty: 'error' | 'zero' = 'error',
): Schema<Out, In> {
  const decode = (value: unknown): Out => {
    const text = string.decode(value);
    if (text === '' && empty === 'zero') return content.zero();
    let parsed: unknown;
    try {
      parsed = decodeJson(text);
    } catch (error) {
      throw new SchemaError('', error instanceof Error ? error.message : String(error));
    }
    return parsed === null ? content.zero() : content.decode(parsed);
  };
  return {
    shape: { kind: 'embedded', content: content.shape },
    presence: 'always',
    zero: () => decode(''),
    decode,
    encode: (value) => encodeJson(content.encode(value)),
  };
}

/** Left out when it is the zero value. */
export function omitZero<Out, In>(schema: Schema<Out, In, Presence>): Schema<Out, In, 'omit-zero'> {
  return { ...schema, presence: 'omit-zero' };
}

/** Absent when it is missing or null. */
export function optional<Out, In>(schema: Schema<Out, In, Presence>): Schema<Out, In, 'optional'> {
  return { ...schema, presence: 'optional' };
}

/** An error when it is missing or null. */
export function required<Out, In>(schema: Schema<Out, In, Presence>): Schema<Out, In, 'required'> {
  return { ...schema, presence: 'required' };
}

/** The same schema with a sentence for the documentation of the field. */
export function doc<Out, In, P extends Presence>(
  text: string,
  schema: Schema<Out, In, P>,
): Schema<Out, In, P> {
  return { ...schema, doc: text };
}

/** Go's `omitempty`: false, 0, "", and empty arrays and maps; never a struct. */
function isEmpty(schema: AnySchema, value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return true;
  if (value === 0 || value === 0n) return true;
  if (Array.isArray(value)) return value.length === 0;
  return schema.shape.kind === 'map' && Object.keys(value as object).length === 0;
}

/** Which property of the JSON value belongs to which field: the exact name wins, else case does not count. */
function matchFields(
  record: Record<string, unknown>,
  fields: Fields,
  byFoldedName: ReadonlyMap<string, string>,
): { found: Map<string, unknown>; unknown: [string, unknown][] } {
  const found = new Map<string, unknown>();
  const unknown: [string, unknown][] = [];
  for (const [key, value] of Object.entries(record)) {
    if (Object.hasOwn(fields, key)) {
      found.set(key, value);
      continue;
    }
    const name = byFoldedName.get(key.toLowerCase());
    if (name === undefined) unknown.push([key, value]);
    else if (!Object.hasOwn(record, name)) found.set(name, value);
  }
  return { found, unknown };
}

function decodeField(name: string, schema: AnySchema, value: unknown): unknown {
  return at(name, () => {
    if (value !== undefined && value !== null) return schema.decode(value);
    if (schema.presence === 'required') throw new SchemaError('', 'missing');
    return schema.zero();
  });
}

function decodeObject(
  value: unknown,
  fields: Fields,
  byFoldedName: ReadonlyMap<string, string>,
  keep: boolean,
): Record<string, unknown> {
  const { found, unknown } = matchFields(asRecord(value), fields, byFoldedName);
  // fromEntries defines properties: a key "__proto__" stays data.
  const out = keep ? (Object.fromEntries(unknown) as Record<string, unknown>) : {};
  for (const name in fields) {
    const schema = fields[name] as AnySchema;
    const present = found.get(name);
    if (schema.presence === 'optional' && (present === undefined || present === null)) continue;
    out[name] = decodeField(name, schema, present);
  }
  return out;
}

function encodeObject(
  value: Readonly<Record<string, unknown>>,
  fields: Fields,
  keep: boolean,
): Record<string, unknown> {
  const out: Record<string, unknown> = keep
    ? Object.fromEntries(Object.entries(value).filter(([key]) => !Object.hasOwn(fields, key)))
    : {};
  for (const name in fields) {
    const schema = fields[name] as AnySchema;
    const field = value[name];
    if (schema.presence === 'omit-zero' ? isEmpty(schema, field) : field === undefined) continue;
    out[name] = schema.encode(field as never);
  }
  return out;
}

function build(fields: Fields, keep: boolean): Schema<unknown, never> {
  const byFoldedName = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]));
  const shapes = Object.entries(fields).map(
    ([name, { presence, shape, doc }]): FieldShape => ({ name, presence, shape, doc }),
  );
  return {
    shape: { kind: 'object', fields: shapes, keeps: keep },
    presence: 'always',
    zero: () => decodeObject({}, fields, byFoldedName, keep),
    decode: (value) => decodeObject(value, fields, byFoldedName, keep),
    encode: (value) => encodeObject(value, fields, keep),
  };
}

/** An object with these fields, written in this order; fields it does not name are ignored. */
export function object<F extends Fields>(fields: F): Schema<ObjectOut<F>, ObjectIn<F>> {
  return build(fields, false) as unknown as Schema<ObjectOut<F>, ObjectIn<F>>;
}

/** An object of which these fields are checked and every other is kept as it was parsed. */
export function keptObject<F extends Fields>(
  fields: F,
): Schema<ObjectOut<F> & Kept, ObjectIn<F> & Kept> {
  return build(fields, true) as unknown as Schema<ObjectOut<F> & Kept, ObjectIn<F> & Kept>;
}
