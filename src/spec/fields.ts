import { AgentError } from '../errors.ts';

/** A JSON object whose fields are still to be checked. */
export type Fields = Record<string, unknown>;

/** The error for a value the host sent; `field` is its path, "OciSpecification.process.cwd". */
export function invalid(field: string, why: string, cause?: unknown): AgentError {
  return new AgentError('invalid-argument', `${field}: ${why}`, {
    field,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** "a list", "null", "a number" …, for messages. */
function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'bigint' ? 'a number' : `a ${typeof value}`;
}

function expected(field: string, what: string, value: unknown): AgentError {
  return invalid(
    field,
    value === undefined ? `is missing` : `must be ${what}, is ${kindOf(value)}`,
  );
}

export function object(value: unknown, field: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw expected(field, 'an object', value ?? undefined);
  }
  return value as Fields;
}

/** A text without NUL: everything here ends in a system call or an environment, where NUL would cut it. */
export function text(value: unknown, field: string): string {
  if (typeof value !== 'string') throw expected(field, 'a text', value);
  if (value.includes('\0')) throw invalid(field, 'must not contain a NUL character');
  return value;
}

export function boolean(value: unknown, field: string): boolean {
  if (typeof value !== 'boolean') throw expected(field, 'true or false', value);
  return value;
}

export function list(value: unknown, field: string): unknown[] {
  if (!Array.isArray(value)) throw expected(field, 'a list', value);
  return value;
}

/** An integer in 0..`max`, as parseJson makes it: number, or bigint beyond 2^53. */
export function unsigned(value: unknown, max: bigint, field: string): number | bigint {
  const integer = typeof value === 'bigint' || Number.isInteger(value);
  if (!integer) {
    if (typeof value === 'number') throw invalid(field, `must be an integer, is ${value}`);
    throw expected(field, 'an integer', value);
  }
  const number = value as number | bigint;
  if (number < 0 || number > max) throw invalid(field, `must be in 0..${max}, is ${number}`);
  return number;
}

/** Replaces `fields[name]` by what `check` makes of it; a missing one stays missing. */
export function optional<T>(
  fields: Fields,
  name: string,
  path: string,
  check: (value: unknown, field: string) => T,
): void {
  if (fields[name] !== undefined) fields[name] = check(fields[name], `${path}.${name}`);
}

/** Each element through `check`, with its index in the path. */
export function each<T>(check: (value: unknown, field: string) => T) {
  return (value: unknown, field: string): T[] =>
    list(value, field).map((item, index) => check(item, `${field}[${index}]`));
}

/**
 * A copy whose keys that mean one of `names` are spelled exactly so. runc, like every Go program,
 * matches field names without regard to case and lets the last one win: a "CgroupsPath" left
 * beside our "cgroupsPath" would undo an edit or slip past a check. Null means missing.
 */
export function canonical(value: unknown, field: string, names: readonly string[]): Fields {
  const exact = new Map(names.map((name) => [foldCase(name), name]));
  const entries = new Map<string, unknown>();
  for (const [key, item] of Object.entries(object(value, field))) {
    const name = exact.get(foldCase(key)) ?? key;
    if (item === null && exact.has(foldCase(key))) entries.delete(name);
    else entries.set(name, item);
  }
  return Object.fromEntries(entries);
}

/** Go's folding of ASCII letters, with the two letters beyond ASCII that fold into it (long s and the Kelvin sign). */
function foldCase(key: string): string {
  return key.replaceAll('\u017f', 's').replaceAll('\u212a', 'k').toLowerCase();
}
