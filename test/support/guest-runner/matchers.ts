/** expect() as the suites of the guest use it: the meanings are vitest's. */
import { inspect, isDeepStrictEqual } from 'node:util';

type Check = (actual: unknown) => boolean;

/** Stands in an expected value for many values. */
class Pattern {
  readonly matches: Check;
  constructor(matches: Check) {
    this.matches = matches;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/** `part`: objects may have more than is expected of them. */
function same(actual: unknown, expected: unknown, part: boolean): boolean {
  if (expected instanceof Pattern) return expected.matches(actual);
  if (Object.is(actual, expected)) return true;
  if (!isObject(actual) || !isObject(expected)) return false;
  if (Array.isArray(expected)) {
    const list = Array.isArray(actual) && actual.length === expected.length ? actual : undefined;
    return list?.every((each, index) => same(each, expected[index], part)) ?? false;
  }
  const plain = [Object.prototype, null].includes(Object.getPrototypeOf(expected));
  if (!plain) return isDeepStrictEqual(actual, expected);
  // An absent property and one that is undefined are the same.
  const names = new Set(Object.keys(part ? expected : { ...actual, ...expected }));
  return [...names].every((name) => same(actual[name], expected[name], part));
}

function says(text: string, wanted: string | RegExp): boolean {
  return typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text);
}

/** Whether a thrown value is the one that toThrow() was given. */
function isThrown(error: unknown, wanted: unknown): boolean {
  if (wanted === undefined) return true;
  if (typeof wanted !== 'string' && !(wanted instanceof RegExp)) return same(error, wanted, false);
  return says(error instanceof Error ? error.message : String(error), wanted);
}

function contains(actual: unknown, part: unknown): boolean {
  return typeof actual === 'string'
    ? actual.includes(String(part))
    : [...(actual as [])].some((each) => Object.is(each, part));
}

type Comparable = number | bigint;

/** By name: whether `actual` is as the argument says. */
const CHECKS = {
  toBe: (actual: unknown, expected: unknown) => Object.is(actual, expected),
  toEqual: (actual: unknown, expected: unknown) => same(actual, expected, false),
  toMatchObject: (actual: unknown, expected: unknown) => same(actual, expected, true),
  toContainEqual: (actual: unknown, expected: unknown) =>
    (actual as unknown[]).some((each) => same(each, expected, false)),
  toContain: contains,
  toHaveLength: (actual: unknown, length: unknown) => (actual as unknown[]).length === length,
  toMatch: (actual: unknown, pattern: unknown) => says(String(actual), pattern as RegExp),
  toBeUndefined: (actual: unknown) => actual === undefined,
  toBeInstanceOf: (actual: unknown, type: unknown) => actual instanceof (type as () => void),
  toBeLessThan: (actual: unknown, limit: unknown) => (actual as Comparable) < (limit as Comparable),
  toBeLessThanOrEqual: (actual: unknown, limit: unknown) =>
    (actual as Comparable) <= (limit as Comparable),
  toBeGreaterThan: (actual: unknown, limit: unknown) =>
    (actual as Comparable) > (limit as Comparable),
  toBeGreaterThanOrEqual: (actual: unknown, limit: unknown) =>
    (actual as Comparable) >= (limit as Comparable),
};
type Checks = { [name in keyof typeof CHECKS]: (expected?: unknown) => void };
type LateChecks = { [name in keyof typeof CHECKS]: (expected?: unknown) => Promise<void> };

function judge(
  name: keyof typeof CHECKS,
  not: boolean,
  values: [unknown, unknown?],
  note = '',
): void {
  if (CHECKS[name](values[0], values[1]) !== not) return;
  const [actual, expected] = values.map((each) => inspect(each, { depth: 6 }));
  throw new Error(
    `${note} expected ${actual} ${not ? 'not ' : ''}${name} ${expected ?? ''}`.trim(),
  );
}

const names = Object.keys(CHECKS) as (keyof typeof CHECKS)[];

function checks(actual: unknown, not: boolean, note?: string): Checks {
  const entries = names.map((name) => [
    name,
    (expected?: unknown) => judge(name, not, [actual, expected], note),
  ]);
  return Object.fromEntries(entries) as Checks;
}

async function rejection(actual: unknown): Promise<unknown> {
  try {
    await actual;
  } catch (error) {
    return error;
  }
  throw new Error('it did not reject');
}

function lateChecks(actual: unknown) {
  const entries = names.map((name) => [
    name,
    async (expected?: unknown) => judge(name, false, [await rejection(actual), expected]),
  ]);
  const toThrow = async (wanted?: unknown): Promise<void> =>
    thrown(await rejection(actual), wanted);
  return { ...(Object.fromEntries(entries) as LateChecks), toThrow };
}

function thrown(error: unknown, wanted: unknown): void {
  if (isThrown(error, wanted)) return;
  throw new Error(`it threw ${inspect(error)}, not ${inspect(wanted)}`);
}

export function expect(actual: unknown, note?: string) {
  const toThrow = (wanted?: unknown): void => {
    try {
      (actual as () => unknown)();
    } catch (error) {
      thrown(error, wanted);
      return;
    }
    throw new Error('it did not throw');
  };
  const positive = checks(actual, false, note);
  return { ...positive, toThrow, not: checks(actual, true, note), rejects: lateChecks(actual) };
}
expect.objectContaining = (part: object): Pattern =>
  new Pattern(
    (actual) =>
      isObject(actual) &&
      Object.entries(part).every(([name, value]) => same(actual[name], value, false)),
  );
expect.stringContaining = (part: string): Pattern =>
  new Pattern((actual) => typeof actual === 'string' && actual.includes(part));
expect.stringMatching = (pattern: RegExp): Pattern =>
  new Pattern((actual) => typeof actual === 'string' && pattern.test(actual));
expect.unreachable = (what = 'this was not to be reached'): never => {
  throw new Error(what);
};
