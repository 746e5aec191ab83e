import { decodeJson, encodeJson } from './json-text.ts';
import { asRecord, at, mismatch, SchemaError, string } from './scalars.ts';
import type {
  AnySchema,
  FieldShape,
  Fields,
  Kept,
  ObjectIn,
  ObjectOut,
  Presence,
  Schema,
} from './types.ts';

export {
  boolean,
  i32,
  raw,
  rawObject,
  SchemaError,
  string,
  u8,
  u16,
  u32,
  u64,
} from './scalars.ts';
export type { FieldShape, InOf, OutOf, Presence, Schema, Shape } from './types.ts';

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
