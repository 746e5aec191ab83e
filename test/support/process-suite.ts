/** What the tests of a file need that run processes, threads and descriptors within this one. */
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { Reaper } from '../../src/os/reaper.ts';
import { assertNothingLeft, type Census, takeCensus } from './census.ts';

/** Requires of each test that it leaves nothing in this process. Said before other hooks, it looks after them. */
export function requireNothingLeft(): void {
  let census: Census;
  beforeEach(() => {
    census = takeCensus({ only: 'process' });
  });
  afterEach(() => assertNothingLeft(census));
}

/** The reaper of all tests of a file. */
export function useReaper(): () => Reaper {
  let reaper: Reaper | undefined;
  beforeAll(() => {
    reaper = Reaper.start();
  });
  afterAll(() => reaper?.[Symbol.dispose]());
  return () => {
    if (reaper === undefined) throw new Error('there is a reaper within tests only');
    return reaper;
  };
}
