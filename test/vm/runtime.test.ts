/** The suites of runtime and cgroups inside the guest: its kernel, its cgroup v2, its runc and crun. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectGuestSuite } from '../support/guest-runner/run.ts';
import { testVm } from '../support/suite.ts';
import { vmDirectoryOf } from '../support/vm-agent.ts';

const vm = testVm ?? expect.unreachable('these tests need a VM');
const INTEGRATION = join(import.meta.dirname, '../integration');
const LONG =
  'hundreds of containers on an interpreted processor: only with KVM, or GCS_TEST_LONG=1';

test.for([
  { name: 'runtime-runc', atLeast: 20, long: false },
  { name: 'runtime-runc-processes', atLeast: 25, long: true },
  { name: 'runtime-runc-failures', atLeast: 30, long: true },
  { name: 'cgroup-processes', atLeast: 8, long: false },
  { name: 'cgroup-statistics', atLeast: 4, long: false },
])('$name', { timeout: 1_800_000 }, async ({ name, atLeast, long }, context) => {
  const slow = vmDirectoryOf(vm).requireRunning().acceleration === 'tcg';
  const short = slow && process.env.GCS_TEST_LONG === undefined;
  if (long && short) context.skip(LONG);
  const suite = join(INTEGRATION, `${name}.test.ts`);
  await expectGuestSuite(vm, {
    entries: { suite },
    env: short ? { GCS_TEST_AT_ONCE: '4' } : {},
    atLeast,
  });
});
