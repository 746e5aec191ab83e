/** The suites of runtime and cgroups inside the guest: its kernel, its cgroup v2, its runc and crun. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectGuestSuite } from '../support/guest-runner/run.ts';
import { testVm } from '../support/suite.ts';

const vm = testVm ?? expect.unreachable('these tests need a VM');
const INTEGRATION = join(import.meta.dirname, '../integration');

test.each([
  ['runtime-runc', 20],
  ['runtime-runc-processes', 25],
  ['runtime-runc-failures', 30],
  ['cgroup-processes', 8],
  ['cgroup-statistics', 4],
])('%s', { timeout: 900_000 }, async (name, atLeast) => {
  const suite = join(INTEGRATION, `${name}.test.ts`);
  await expectGuestSuite(vm, { entries: { suite }, atLeast });
});
