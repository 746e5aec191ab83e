/**
 * As much of vitest as the suites use that run in the guest, which has no vitest: a suite is bundled
 * with this file in its place. Cases run one after the other once the suite is loaded; a line each
 * tells how it went: "ok TITLE", "skip TITLE" or "not ok TITLE" with the reason indented below.
 */
import { format } from 'node:util';

export { expect } from './matchers.ts';

type Body = () => Promise<void> | void;
type EachBody = (...values: never[]) => Promise<void> | void;

const HOOKS = ['beforeAll', 'afterAll', 'beforeEach', 'afterEach'] as const;
type Hooks = Record<(typeof HOOKS)[number], Body[]>;

class Suite {
  readonly hooks: Hooks = { beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] };
  readonly members: (Suite | Case)[] = [];
  readonly title: string;
  readonly above: Suite | undefined;

  constructor(title: string, above: Suite | undefined) {
    this.title = title;
    this.above = above;
  }
}

interface Case {
  readonly title: string;
  readonly run: Body | undefined;
  readonly timeoutMs: number;
}

/** Where everything is slow. */
const TIMEOUT_MS = 180_000;

let open = new Suite('', undefined);
let finishing: Body[] = [];

export function describe(title: string, body: () => void): void {
  const suite = new Suite(title, open);
  open.members.push(suite);
  open = suite;
  body();
  open = suite.above ?? suite;
}
const ignored = (): void => {};
describe.runIf = (condition: boolean) => (condition ? describe : ignored);
describe.skipIf = (condition: boolean) => (condition ? skipSuite : describe);
describe.each = (rows: readonly unknown[]) => (title: string, body: EachBody) => {
  for (const row of rows) describe(titleOf(title, row), () => void body(...valuesOf(row)));
};

function skipSuite(title: string): void {
  it.skip(title);
}

export function it(title: string, run: Case['run'], timeoutMs = TIMEOUT_MS): void {
  open.members.push({ title, run, timeoutMs });
}
it.skip = (title: string): void => it(title, undefined);
it.each = (rows: readonly unknown[]) => (title: string, body: EachBody, timeoutMs?: number) => {
  for (const row of rows) it(titleOf(title, row), () => body(...valuesOf(row)), timeoutMs);
};
export const test = it;

function valuesOf(row: unknown): never[] {
  return (Array.isArray(row) ? row : [row]) as never[];
}

/** "$name" is a property of the row, "%s" and its like the next of its values. */
function titleOf(title: string, row: unknown): string {
  const named = title.replaceAll(/\$(\w+)/g, (_, name: string) =>
    String((row as Record<string, unknown>)[name]),
  );
  const places = named.match(/%[sdij]/g)?.length ?? 0;
  return format(named, ...valuesOf(row).slice(0, places));
}

const hook =
  (kind: (typeof HOOKS)[number]) =>
  (body: Body): void =>
    void open.hooks[kind].push(body);
export const beforeAll = hook('beforeAll');
export const afterAll = hook('afterAll');
export const beforeEach = hook('beforeEach');
export const afterEach = hook('afterEach');

/** Calls `body` when the case that runs now has ended. */
export function onTestFinished(body: Body): void {
  finishing.push(body);
}

/** From the outermost. */
function lineage(suite: Suite): Suite[] {
  return suite.above === undefined ? [suite] : [...lineage(suite.above), suite];
}

async function each(bodies: readonly Body[]): Promise<void> {
  for (const body of bodies) await body();
}

async function runSteps(suite: Suite, body: Body): Promise<void> {
  const suites = lineage(suite);
  finishing = [];
  try {
    await each(suites.flatMap(({ hooks }) => hooks.beforeEach));
    await body();
  } finally {
    const after = suites.toReversed().flatMap(({ hooks }) => hooks.afterEach);
    await each([...after, ...finishing.toReversed()]);
  }
}

/** Runs `body` and tells when it failed; the milliseconds it took, undefined when it failed. */
async function attempt(title: string, timeoutMs: number, body: Body): Promise<number | undefined> {
  const limit = Promise.withResolvers<never>();
  const timer = setTimeout(() => limit.reject(new Error(`after ${timeoutMs} ms`)), timeoutMs);
  const begin = performance.now();
  try {
    await Promise.race([body(), limit.promise]);
    return Math.round(performance.now() - begin);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    console.log(`not ok ${title}\n  ${text.replaceAll('\n', '\n  ')}`);
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

/** How many of the suite's cases, and of its own hooks, failed. */
async function runSuite(suite: Suite): Promise<number> {
  const path = lineage(suite).flatMap(({ title }) => (title === '' ? [] : [title]));
  const called = (title: string): string => [...path, title].join(' > ');
  const hooks = async (kind: 'beforeAll' | 'afterAll'): Promise<boolean> =>
    (await attempt(called(kind), TIMEOUT_MS, () => each(suite.hooks[kind]))) !== undefined;
  let failures = 0;
  if (await hooks('beforeAll')) {
    for (const member of suite.members) failures += await runMember(suite, member, called);
  } else failures += 1;
  return (await hooks('afterAll')) ? failures : failures + 1;
}

async function runMember(
  suite: Suite,
  member: Suite | Case,
  called: (title: string) => string,
): Promise<number> {
  if (member instanceof Suite) return await runSuite(member);
  const { run, timeoutMs } = member;
  const title = called(member.title);
  if (run === undefined) {
    console.log(`skip ${title}`);
    return 0;
  }
  const took = await attempt(title, timeoutMs, () => runSteps(suite, run));
  if (took === undefined) return 1;
  console.log(`ok ${title} (${took} ms)`);
  return 0;
}

// Loaded first, it runs when the modules that declare cases have been.
setImmediate(async () => {
  const failures = await runSuite(open);
  process.exit(failures === 0 ? 0 : 1);
});
