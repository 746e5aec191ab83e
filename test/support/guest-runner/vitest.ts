/**
 * As much of vitest as the compliance suite of transports uses, for a guest that has no vitest: the
 * suite is bundled with this file in its place. Cases run one after the other; a line each tells how
 * it went: "ok TITLE", "skip TITLE" or "not ok TITLE" with the reason indented below.
 */
import assert from 'node:assert/strict';

interface Case {
  readonly title: string;
  readonly run: (() => Promise<void> | void) | undefined;
  readonly timeoutMs: number;
}

const cases: Case[] = [];

export function describe(_name: string, body: () => void): void {
  body();
}
describe.runIf = (condition: boolean) => (condition ? describe : () => {});

export function it(title: string, run: Case['run'], timeoutMs = 60_000): void {
  cases.push({ title, run, timeoutMs });
}
it.skip = (title: string): void => it(title, undefined);

class Containing {
  readonly part: object;
  constructor(part: object) {
    this.part = part;
  }
}

function equal(actual: unknown, expected: unknown, message?: string): void {
  if (expected instanceof Containing) {
    for (const [name, value] of Object.entries(expected.part)) {
      assert.deepEqual((actual as Record<string, unknown>)[name], value, message);
    }
  } else assert.deepEqual(actual, expected, message);
}

function matchers(actual: unknown, message?: string) {
  return {
    toBe: (expected: unknown) => assert.ok(Object.is(actual, expected), message ?? `${actual}`),
    toEqual: (expected: unknown) => equal(actual, expected, message),
    toBeLessThan: (limit: number) => assert.ok((actual as number) < limit, `${actual} < ${limit}`),
    toBeInstanceOf: (type: new (...args: never[]) => unknown) =>
      assert.ok(actual instanceof type, `${String(actual)} is no ${type.name}`),
    toContain: (part: unknown) =>
      assert.ok((actual as unknown[]).includes(part), `${String(actual)} without ${String(part)}`),
    toThrow: (wanted: string | Containing) =>
      assert.throws(actual as () => unknown, (error) => {
        if (typeof wanted === 'string') return String(error).includes(wanted);
        equal(error, wanted);
        return true;
      }),
  };
}

export function expect(actual: unknown, message?: string) {
  const rejection = async (): Promise<unknown> => {
    try {
      await actual;
    } catch (error) {
      return error;
    }
    throw new Error('it did not reject');
  };
  return {
    ...matchers(actual, message),
    not: {
      toBe: (other: unknown) => assert.ok(!Object.is(actual, other), `${String(actual)}`),
    },
    rejects: {
      toBe: async (expected: unknown) => matchers(await rejection()).toBe(expected),
      toEqual: async (expected: unknown) => equal(await rejection(), expected),
      toMatchObject: async (part: object) => equal(await rejection(), new Containing(part)),
    },
  };
}
expect.objectContaining = (part: object): Containing => new Containing(part);

/** Runs what was declared; resolves with the number of failures. */
export async function runCases(): Promise<number> {
  let failures = 0;
  for (const { title, run, timeoutMs } of cases) {
    if (run === undefined) {
      console.log(`skip ${title}`);
      continue;
    }
    const limit = Promise.withResolvers<never>();
    const timer = setTimeout(() => limit.reject(new Error(`after ${timeoutMs} ms`)), timeoutMs);
    const begin = performance.now();
    try {
      await Promise.race([run(), limit.promise]);
      console.log(`ok ${title} (${Math.round(performance.now() - begin)} ms)`);
    } catch (error) {
      failures += 1;
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      console.log(`not ok ${title}\n  ${text.replaceAll('\n', '\n  ')}`);
    } finally {
      clearTimeout(timer);
    }
  }
  return failures;
}
