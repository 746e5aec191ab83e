import { expect, test } from 'vitest';
import { Fuzz, seeded } from '../support/bridge-fuzz.ts';
import { useRootfs, withSession } from '../support/suite.ts';

useRootfs();

/** Long enough for some hundred containers; a seed that failed is run again by the variable. */
const DURATION_MS = 12_000;

test('requests of any values in any order over bridges that break leave an agent that is whole', () => {
  const seed = Number(process.env.GCS_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`GCS_FUZZ_SEED=${seed}`);
  return withSession(async (session) => {
    const fuzz = new Fuzz(session, seeded(seed));
    await fuzz.run(DURATION_MS);
    const { counts } = fuzz;
    console.log(counts);
    // A run in which nothing succeeds would prove nothing.
    for (const name of ['create', 'start', 'exec', 'uvm', 'wait', 'delete', 'drop'] as const) {
      expect(counts[name]?.done, `${name} that succeeded`).toBeGreaterThan(0);
    }
  });
});
